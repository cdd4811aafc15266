// Lays a chart over each picture of series, whose values show under the pointer, and in which a span of time can be drawn.
// The picture below stays for paper and for readers of the screen. Every word comes from the server.
"use strict";
(() => {
  const HEIGHT = 148, TIMES = 20, LABELS = 52, LABELS_MIN = 320;
  const charts = new Map();
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dim = () => color("--dim"), rule = () => color("--line");

  const drawLine = (chart, from, to, stroke) => {
    const context = chart.ctx;
    context.save();
    context.strokeStyle = stroke;
    context.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    context.restore();
  };
  const drawMarks = (chart, data) => {
    const { left, top, width, height } = chart.bbox, context = chart.ctx;
    for (const [part, label] of data.marks) {
      const x = chart.valToPos(part, "x", true), isLate = part > .7;
      drawLine(chart, [x, top], [x, top + height], dim());
      context.save();
      context.font = 11 * devicePixelRatio + "px system-ui, sans-serif";
      context.fillStyle = dim();
      context.textAlign = isLate ? "right" : "left";
      context.fillText(label, x + (isLate ? -4 : 4) * devicePixelRatio, top + 10 * devicePixelRatio);
      context.restore();
    }
    if (data.threshold === null) return;
    const y = chart.valToPos(data.threshold, "y", true);
    drawLine(chart, [left, y], [left + width, y], color("--c3"));
  };
  const build = (figure) => {
    const data = JSON.parse(figure.dataset.chart), number = data.lines[0].figures.length;
    const parts = Array.from({ length: number }, (_, at) => (at + .5) / number);
    const keys = [...figure.querySelectorAll("figcaption .key")];
    const values = data.lines.map((_, at) => {
      const value = document.createElement("output");
      keys[at].after(value);
      return value;
    });
    const font = "11px system-ui, sans-serif", width = figure.clientWidth;
    const axis = (ticks, size, side) => ({
      font, size, side, stroke: dim, gap: 4, grid: { stroke: rule, width: 1, show: side === 3 }, ticks: { show: false },
      splits: () => ticks.map(([at]) => at), values: () => ticks.map(([, label]) => label),
    });
    const place = document.createElement("div");
    place.className = "over";
    place.setAttribute("aria-hidden", "true");
    figure.append(place);
    const chart = new uPlot({
      width, height: HEIGHT, legend: { show: false }, padding: [8, 8, 0, width < LABELS_MIN ? 4 : 0],
      scales: { x: { time: false, range: [0, 1] }, y: { range: [0, data.top] } },
      axes: [axis(data.times, TIMES, 2), axis(data.ticks, LABELS, 3)],
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, sync: { key: data.from + data.until, scales: ["x", null] } },
      series: [{}, ...data.lines.map((line) => ({
        stroke: () => color("--" + line.class), width: 1.6,
        points: { show: line.figures.filter((value) => value !== null).length === 1 },
      }))],
      hooks: {
        draw: [(chart) => drawMarks(chart, data)],
        setCursor: [({ cursor }) => values.forEach((value, at) => {
          value.textContent = cursor.idx === null || cursor.left < 0 ? "" : data.lines[at].texts[cursor.idx] || "–";
        })],
        setSelect: [(chart) => {
          const { left, width } = chart.select, parts = [left, left + width].map((at) => chart.posToVal(at, "x"));
          // A box that was drawn before does not belong to the span.
          if (width > 4 && chart.cursor.event) document.dispatchEvent(new CustomEvent("span", { detail: [data, parts, { min: "", max: "" }] }));
        }],
      },
    }, [parts, ...data.lines.map((line) => line.figures)], place);
    charts.set(figure, chart);
    figure.classList.add("live");
    sizes.observe(figure);
  };
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const chart = charts.get(target);
      if (chart && target.clientWidth > 0 && target.clientWidth !== chart.width) chart.setSize({ width: target.clientWidth, height: HEIGHT });
    }
  });
  const buildAll = () => {
    for (const [figure, chart] of charts) {
      if (figure.isConnected) continue;
      sizes.unobserve(figure);
      chart.destroy();
      charts.delete(figure);
    }
    document.querySelectorAll("figure[data-chart]").forEach((figure) => { if (!charts.has(figure)) build(figure); });
  };
  document.addEventListener("refreshed", buildAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.redraw(false)));
  buildAll();
})();
