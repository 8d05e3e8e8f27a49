// Charts: nothing is loaded before a chart is opened. The figure comes as JSON, the library from our own static files, the colours from the CSS.
(function () {
  "use strict";
  var library = null;

  function plotly() {
    if (!library) {
      library = new Promise(function (done, failed) {
        var script = document.createElement("script");
        script.src = document.querySelector("[data-plotly]").dataset.plotly;
        script.onload = function () { done(window.Plotly); };
        script.onerror = failed;
        document.head.append(script);
      });
    }
    return library;
  }

  // A token is light-dark(a, b) as text; only an element's computed colour says which of the two is meant now.
  function colour(token) {
    var probe = document.createElement("i");
    probe.style.color = "var(" + token + ")";
    document.body.append(probe);
    var found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function dressed(figure) {
    var ink = colour("--ink-2"), grid = colour("--grid");
    var axis = { gridcolor: grid, zerolinecolor: grid, linecolor: grid, fixedrange: true };
    figure.data.forEach(function (trace) {
      var tokens = trace.meta;
      trace.marker = { color: Array.isArray(tokens) ? tokens.map(colour) : colour(tokens) };
    });
    Object.assign(figure.layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 12 },
      hoverlabel: { bgcolor: colour("--solid"), font: { color: colour("--on-solid") } }
    });
    figure.layout.xaxis = Object.assign({}, figure.layout.xaxis, axis);
    figure.layout.yaxis = Object.assign({}, figure.layout.yaxis, axis);
    return figure;
  }

  function click(card, point) {
    var form = document.getElementById(card.dataset.filter || ""), to = point.customdata;
    if (!form || !Array.isArray(to)) return;
    form.elements.strategy.value = to[0];
    form.elements.age.value = to[1];
    form.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function draw(card) {
    var place = card.querySelector(".chart");
    place.setAttribute("aria-busy", "true");
    return Promise.all([plotly(), fetch(card.dataset.chart, { headers: { Accept: "application/json" } })]).then(function (got) {
      if (!got[1].ok) throw new Error(String(got[1].status));
      return got[1].json().then(function (figure) {
        var ready = dressed(figure);
        return got[0].react(place, ready.data, ready.layout, { displayModeBar: false, responsive: true });
      });
    }).then(function () {
      place.removeAttribute("aria-busy");
      if (place.dataset.bound) return;
      place.dataset.bound = "yes";
      place.on("plotly_click", function (event) { click(card, event.points[0]); });
    }).catch(function () {
      place.removeAttribute("aria-busy");
      place.textContent = "The chart could not be loaded. The figures stand in the table below.";
    });
  }

  function open() { return document.querySelectorAll("details[data-chart][open]"); }

  document.querySelectorAll("details[data-chart]").forEach(function (card) {
    card.addEventListener("toggle", function () { if (card.open) draw(card); });
    if (card.open) draw(card);
  });
  document.addEventListener("themechange", function () { open().forEach(draw); });
})();
