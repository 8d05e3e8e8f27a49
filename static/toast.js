// Short notices: what an htmx action said (HX-Trigger: toast), and every htmx call that failed, with the id the log knows it by.
// A poll that fails says so in one quiet line instead, and polls rest while nobody looks.
(function () {
  "use strict";
  var STAY = 6000, STAY_BAD = 20000;

  function show(said) {
    var box = document.getElementById("toasts");
    if (!box) return;
    var toast = document.createElement("div");
    toast.className = "toast" + (said.level === "neg" ? " toast-neg" : "");
    var text = document.createElement("span");
    text.textContent = said.text;
    toast.append(text);
    if (said.href && said.href.charAt(0) === "/") {
      var link = document.createElement("a");
      link.href = said.href;
      link.textContent = said.link || "Open";
      toast.append(link);
    }
    if (said.id) {
      var id = document.createElement("code");
      id.textContent = said.id;
      id.title = "The log has the details under this id";
      toast.append(id);
    }
    var close = document.createElement("button");
    close.type = "button";
    close.className = "toast-x";
    close.setAttribute("aria-label", "Close this notice");
    close.textContent = "\u00d7";
    close.addEventListener("click", function () { toast.remove(); });
    toast.append(close);
    box.append(toast);
    while (box.children.length > 4) box.firstElementChild.remove();
    setTimeout(function () { toast.remove(); }, said.level === "neg" ? STAY_BAD : STAY);
  }

  var WORDS = {
    403: "This was not allowed, or the page was open for too long. Reload it and try again.",
    404: "That row is no longer there.",
    429: "Too many requests. Wait a few seconds.",
    503: "The desk is busy. Nothing was changed; try again in a moment."
  };

  function isPoll(detail) {
    return Boolean(detail.requestConfig && !detail.requestConfig.triggeringEvent && detail.requestConfig.verb === "get");
  }

  function paused(quiet) {
    var note = document.getElementById("queue-live-note");
    if (!note) return;
    note.textContent = quiet ? "" : "Live updates paused since " + new Date().toLocaleTimeString("en-GB", { timeZone: "Asia/Kolkata" });
  }

  document.addEventListener("toast", function (event) { show(event.detail); });

  document.addEventListener("htmx:responseError", function (event) {
    var xhr = event.detail.xhr;
    if (isPoll(event.detail)) return paused(false);
    if (/(^|[{",\s])toast/.test(xhr.getResponseHeader("HX-Trigger") || "")) return;
    var text = WORDS[xhr.status] || "The desk could not do this (status " + xhr.status + "). Look at the order before you try again.";
    show({ text: text, level: "neg", id: xhr.getResponseHeader("X-Request-ID") });
  });

  document.addEventListener("htmx:sendError", function (event) {
    if (isPoll(event.detail)) return paused(false);
    show({ text: "No answer from the desk. Look at the order before you try again: it may have arrived.", level: "neg" });
  });

  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.successful && isPoll(event.detail)) paused(true);
  });

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (document.hidden && isPoll(event.detail)) event.preventDefault();
  });
})();
