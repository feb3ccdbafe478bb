// Draws the figures of this page with plotly, in the colours of the style sheet. Without scripts the plain charts stay.
(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");

  // Colours stand in the figures as names of variables ("--accent"), under keys that end in "color" only.
  const painted = (value, style, key = "") => {
    if (Array.isArray(value)) return value.map((item) => painted(item, style, key));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, painted(v, style, k)]));
    }
    const named = typeof value === "string" && key.endsWith("color") && value.startsWith("--");
    return named ? style.getPropertyValue(value).trim() : value;
  };

  const tallest = (labels) => Math.max(...labels.map((text) => text.split("<br>").length));
  const spread = (figure, layout, row) => ({
    ...layout, height: row * figure.labels.length + layout.margin.t + layout.margin.b,
  });

  // Where room is short labels stand above their rows: beside them they would leave none for the plot.
  const beside = (figure, layout) => spread(figure, layout, Math.max(36, 15 * tallest(figure.labels) + 8));
  const stacked = (figure, layout) => {
    const lines = tallest(figure.labels);
    const above = figure.labels.map((text, row) => ({
      x: 0, xref: "paper", xanchor: "left", y: row, align: "left", bgcolor: "--card", opacity: 0.9, borderpad: 1,
      ...(text.startsWith("<b>") ? { yanchor: "middle" } : { yanchor: "bottom", yshift: 9 }),
      text, showarrow: false, font: { size: 12, color: "--ink" },
    }));
    return spread(figure, {
      ...layout,
      annotations: [...layout.annotations, ...above],
      xaxis: { ...layout.xaxis, title: { text: figure.short || layout.xaxis.title.text } },
      yaxis: { ...layout.yaxis, showticklabels: false, range: [figure.labels.length - 0.6, -0.85] },
    }, 34 + 15 * lines);
  };
  const isTight = (place) => place.closest("figure").clientWidth < 480;

  const axis = (given) => ({
    gridcolor: "--line", linecolor: "--line", tickcolor: "--line", zerolinecolor: "--line",
    tickfont: { size: 12, color: "--ink" }, ...given,
    title: { font: { size: 12, color: "--soft" }, ...given.title },
  });

  const draw = (figure) => {
    const place = document.getElementById(`plot-${figure.id}`);
    const style = getComputedStyle(document.documentElement);
    const tight = isTight(place);
    const arranged = !figure.labels ? figure.layout : (tight ? stacked : beside)(figure, figure.layout);
    place.dataset.tight = tight;
    const layout = {
      paper_bgcolor: "--card", plot_bgcolor: "--card",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: "--ink" },
      hoverlabel: { bgcolor: "--card", bordercolor: "--line", font: { color: "--ink" }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 12, color: "--ink" } },
      dragmode: coarse.matches ? false : "zoom",
      ...arranged,
      xaxis: axis(arranged.xaxis),
      yaxis: axis(arranged.yaxis),
    };
    place.hidden = false;
    return Plotly.react(place, painted(figure.data, style), painted(layout, style), {
      responsive: true, displayModeBar: false, showTips: false,
    }).then(() => place.closest("figure").classList.add("drawn"));
  };

  const drawAll = () => Promise.all(figures.map((figure) => draw(figure).catch((error) => {
    document.getElementById(`plot-${figure.id}`).hidden = true;
    console.error(error);
  })));
  dark.addEventListener("change", drawAll);
  addEventListener("resize", () => figures.forEach((figure) => {
    const place = document.getElementById(`plot-${figure.id}`);
    if (!place.hidden && place.clientWidth && String(isTight(place)) !== place.dataset.tight) draw(figure);
  }));
  drawAll().then(() => document.documentElement.classList.add("plotted"));
})();
