"""A stopwatch over epochs: samples a second, and the share of the time in which a device idles."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """What a loop did.

    Attributes:
        samples_per_second: In whole epochs, after one that warms up.
        idle_share: Of an epoch's time: on a GPU when none of its kernels ran; on a CPU when no
            operator of PyTorch did, but Python.
    """

    samples_per_second: float
    idle_share: float


class Watch:
    """Told of the end of every epoch, it says when there were enough.

    The first epoch warms up, the last is profiled, and those between are timed.

    Args:
        device: What is trained on.
        seconds: How long to measure, at least.
    """

    def __init__(self, device: torch.device, seconds: float):
        self._device, self._seconds = device, seconds
        self._begun_s = 0.0
        self._samples, self._per_second = 0, 0.0
        self._profile: profile | None = None
        self.speed: Speed | None = None

    def epoch_ended(self, samples: int) -> bool:
        """Whether there is nothing more to measure.

        Args:
            samples: How many the epoch had.
        """
        now_s = self._now_s()
        if self._profile is not None:
            self._end(now_s)
        elif self._begun_s == 0:
            self._begun_s = now_s
        else:
            self._samples += samples
            if now_s - self._begun_s >= self._seconds:
                self._per_second = self._samples / (now_s - self._begun_s)
                self._begin_profile()
        return self.speed is not None

    def _now_s(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _begin_profile(self) -> None:
        on_gpu = self._device.type == "cuda"
        self._profile = profile(
            activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
        )
        self._profile.start()
        self._begun_s = self._now_s()

    def _end(self, now_s: float) -> None:
        assert self._profile is not None
        self._profile.stop()
        busy_s = sum(map(self._busy_us, self._profile.key_averages())) / 1e6
        idle = max(0.0, 1 - busy_s / (now_s - self._begun_s))
        self.speed = Speed(samples_per_second=self._per_second, idle_share=idle)

    def _busy_us(self, row: Any) -> float:
        """The time of a kernel, or an operator; not of what the loops name, which holds others."""
        if self._device.type == "cuda":
            return 0.0 if row.is_user_annotation else float(row.self_device_time_total)
        return float(row.self_cpu_time_total) if row.key.startswith("aten::") else 0.0
