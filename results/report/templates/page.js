"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figure-data").textContent);
  const plots = [...document.querySelectorAll("[data-figure]")];
  const boxes = [...document.querySelectorAll(".filter input")];
  const table = document.getElementById("table");
  const find = document.getElementById("find");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const coloured = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  let chosen = null;

  // Colours that begin with @ are the page's.
  const themed = (part) => {
    if (Array.isArray(part)) return part.length && typeof part[0] === "object" ? part.map(themed) : part;
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([key, value]) =>
      [key, /color$/.test(key) && /^@[a-z]+$/.test(value) ? coloured(value.slice(1)) : themed(value)]));
  };

  const laidOut = (layout) => {
    const base = {
      uirevision: "kept",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", autosize: true,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: coloured("ink") },
      margin: { l: 50, r: 14, t: 12, b: 44 }, dragmode: touch ? false : "zoom",
      hoverlabel: { align: "left", bgcolor: coloured("panel"), bordercolor: coloured("soft"), font: { color: coloured("ink") } },
    };
    const whole = { ...base, ...themed(layout) };
    for (const name of Object.keys(whole).filter((key) => /^[xy]axis/.test(key))) {
      whole[name] = { gridcolor: coloured("rule"), zerolinecolor: coloured("rule"), ...whole[name] };
    }
    return whole;
  };

  const states = () => new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.state));
  const visible = (trace, shown) => !trace.meta || !trace.meta.state || shown.has(trace.meta.state);

  const pointsOf = (spec, trial) => {
    const found = { x: [], y: [] };
    for (const trace of spec.data.filter((one) => one.type === "scatter" && one.customdata && one.meta && one.meta.state)) {
      const at = trace.customdata.map((number, i) => (number === trial ? i : -1)).filter((i) => i >= 0);
      if (found.x.length && at.length) continue;  // such as the end of a curve that is there already
      found.x.push(...at.map((i) => trace.x[i]));
      found.y.push(...at.map((i) => trace.y[i]));
    }
    return found;
  };

  const draw = (plot) => {
    const spec = figures[plot.dataset.figure], shown = states();
    const data = themed(spec.data).map((trace) => {
      const own = trace.meta && trace.meta.role === "selected" && chosen !== null ? pointsOf(spec, chosen) : {};
      return { ...trace, ...own, visible: visible(trace, shown) };
    });
    const settings = { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
    Plotly.react(plot, data, laidOut(spec.layout), settings).then(() => {
      if (!plot.dataset.drawn) plot.on("plotly_click", (event) => choose(event.points[0].customdata));
      plot.dataset.drawn = "yes";
    });
  };
  const redraw = () => plots.filter((plot) => plot.dataset.drawn).forEach(draw);

  // A figure is drawn when it comes near: a large study's page opens at once.
  const watcher = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
    watcher.unobserve(entry.target);
    draw(entry.target);
  }), { rootMargin: "600px" });

  const rows = table ? [...table.tBodies[0].rows] : [];
  const filterRows = () => {
    if (!table) return;
    const shown = states(), wanted = find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !(shown.has(row.dataset.state) && (!wanted || row.textContent.toLowerCase().includes(wanted)));
      count += !row.hidden;
    }
    document.getElementById("shown").textContent = `${count} of ${rows.length} trials`;
  };

  const orderOf = (row, column) => {
    const cell = row.cells[column], order = cell.dataset.order;
    return order === undefined ? cell.textContent : order === "" ? null : Number(order);
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const sortBy = (column, direction) => {
    const sign = direction === "descending" ? -1 : 1;
    rows.sort((one, other) => {
      const a = orderOf(one, column), b = orderOf(other, column);
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * compare(a, b);
    });
    table.tBodies[0].append(...rows);
    [...table.tHead.rows[0].cells].forEach((head, i) =>
      i === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort"));
  };

  const choose = (trial) => {
    if (typeof trial !== "number") return;
    chosen = chosen === trial ? null : trial;
    for (const row of rows) {
      const own = Number(row.dataset.trial) === chosen;
      row.classList.toggle("chosen", own);
      row.querySelector("button").setAttribute("aria-pressed", String(own));
    }
    const told = document.getElementById("chosen");
    told.textContent = chosen === null ? "" : `trial ${chosen} is marked`;
    if (chosen !== null) {
      const clear = document.createElement("button");
      clear.textContent = "✕";
      clear.setAttribute("aria-label", "unmark it");
      clear.addEventListener("click", () => choose(chosen));
      told.append(clear);
    }
    redraw();
  };

  const keep = () => sessionStorage.setItem(location.pathname, JSON.stringify({
    off: boxes.filter((box) => !box.checked).map((box) => box.dataset.state), find: find ? find.value : "", chosen,
    sort: table ? [...table.tHead.rows[0].cells].map((head) => head.getAttribute("aria-sort")) : [], scroll: scrollY,
  }));
  const restore = () => {
    const kept = JSON.parse(sessionStorage.getItem(location.pathname) || "null");
    if (!kept) return;
    boxes.forEach((box) => { box.checked = !kept.off.includes(box.dataset.state); });
    if (find) find.value = kept.find;
    const column = kept.sort.findIndex(Boolean);
    if (table && column >= 0 && column < table.tHead.rows[0].cells.length) sortBy(column, kept.sort[column]);
    if (kept.chosen !== null) choose(kept.chosen);
    requestAnimationFrame(() => scrollTo(0, kept.scroll));
  };

  boxes.forEach((box) => box.addEventListener("change", () => { filterRows(); redraw(); }));
  if (find) find.addEventListener("input", filterRows);
  if (table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => head.firstElementChild.addEventListener("click", () =>
      sortBy(column, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending")));
    table.tBodies[0].addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) choose(Number(row.dataset.trial));
    });
  }
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", () => plots.filter((plot) => !plot.dataset.drawn).forEach(draw));

  const version = document.body.dataset.version;
  if (version) {
    restore();
    setInterval(async () => {
      try {
        const answer = await fetch("/version", { cache: "no-store" });
        if (answer.ok && (await answer.text()) !== version) { keep(); location.reload(); }
      } catch { /* the server has ended: what is shown stays */ }
    }, 3000);
  }
  filterRows();
  plots.forEach((plot) => watcher.observe(plot));
})();
