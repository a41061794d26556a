"""The four loops, each told to go on until a watch has seen enough."""

import math
import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate

from benchmarks.training_loop.watch import Watch
from benchmarks.training_loop.workloads import Samples, Workload
from trainables.training import new_learner, on_device, train_epoch, use_backend

GPU_READERS = 4
MANY = 10**6  # epochs: the watch ends it


def ours(workload: Workload, device: torch.device, watch: Watch) -> None:
    """This project's."""
    task, config = workload.task, workload.config
    use_backend(config.optim, device)
    splits = on_device(workload.splits, device)
    torch.manual_seed(0)
    learner = new_learner(task, config, splits, device)
    while True:
        train_epoch(task, config, learner, splits.train, MANY)
        learner.scores.append(0.0)
        if watch.epoch_ended(len(splits.train)):
            return


def source(workload: Workload, device: torch.device, watch: Watch) -> None:
    """As the sources write it, and most tutorials: samples one by one, a loss that is read out."""
    config, model = workload.config, workload.model().to(device).train()
    optim, samples = config.optim, Samples(workload)
    on_gpu = device.type == "cuda"
    loader = DataLoader(
        samples,
        batch_size=config.data.batch_size,
        shuffle=True,
        num_workers=GPU_READERS if on_gpu else 0,
        pin_memory=on_gpu,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=optim.lr, weight_decay=optim.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step / MANY))
    while True:
        total = 0.0
        for i, batch in enumerate(loader, start=1):
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu and optim.amp):
                loss = workload.task.loss(config, model, batch)[0]
            (loss / optim.accumulation).backward()
            if i % optim.accumulation == 0 or i == len(loader):
                if optim.clip_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            total += loss.item()
        assert math.isfinite(total)
        if watch.epoch_ended(len(samples)):
            return


class WithLoss(nn.Module):
    """A model as Hugging Face's Trainer wants it: its output is the loss."""

    def __init__(self, workload: Workload):
        super().__init__()
        self._workload, self.model = workload, workload.model()

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """The training loss."""
        return {"loss": self._workload.task.loss(self._workload.config, self.model, batch)[0]}


def hugging_face(workload: Workload, device: torch.device, watch: Watch) -> None:
    """transformers.Trainer."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    samples, config = Samples(workload), workload.config

    class Ends(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = watch.epoch_ended(len(samples))

    on_gpu = device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=MANY,
            per_device_train_batch_size=config.data.batch_size,
            gradient_accumulation_steps=config.optim.accumulation,
            learning_rate=config.optim.lr,
            weight_decay=config.optim.weight_decay,
            max_grad_norm=config.optim.clip_norm,
            bf16=on_gpu and config.optim.amp,
            use_cpu=not on_gpu,
            dataloader_num_workers=GPU_READERS if on_gpu else 0,
            remove_unused_columns=False,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        Trainer(
            model=WithLoss(workload),
            args=arguments,
            train_dataset=samples,
            data_collator=default_collate,
            callbacks=[Ends()],
        ).train()


def lightning(workload: Workload, device: torch.device, watch: Watch) -> None:
    """Lightning's Trainer."""
    from lightning import LightningModule
    from lightning import Trainer as LightningTrainer

    samples, config = Samples(workload), workload.config

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = workload.model()

        def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
            return workload.task.loss(config, self.model, batch)[0]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            optim = config.optim
            return torch.optim.AdamW(
                self.parameters(), lr=optim.lr, weight_decay=optim.weight_decay
            )

        def on_train_epoch_end(self) -> None:
            self.trainer.should_stop = watch.epoch_ended(len(samples))

    on_gpu = device.type == "cuda"
    loader = DataLoader(
        samples,
        batch_size=config.data.batch_size,
        shuffle=True,
        num_workers=GPU_READERS if on_gpu else 0,
        pin_memory=on_gpu,
    )
    LightningTrainer(
        max_epochs=-1,
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision="bf16-mixed" if on_gpu and config.optim.amp else "32-true",
        gradient_clip_val=config.optim.clip_norm or None,
        accumulate_grad_batches=config.optim.accumulation,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=os.devnull,
    ).fit(Module(), loader)


LOOPS: dict[str, Callable[[Workload, torch.device, Watch], None]] = {
    "ours": ours,
    "source": source,
    "hugging_face": hugging_face,
    "lightning": lightning,
}
NEED_ENVIRONMENT = ("hugging_face", "lightning")
