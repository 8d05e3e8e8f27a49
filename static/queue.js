// The queue: keys, selection, and when a fresh list may replace the one on screen. Without this file the page still does everything.
(function () {
  "use strict";
  var HANDS_OFF = 3000; // after a touch or a pointer over a row the list must not move under the finger
  var current = null, touched = 0;

  function rows() { return Array.from(document.querySelectorAll("#queue-rows tr.row")); }
  function row(id) { return document.getElementById("q-" + id); }

  // ------------------------------------------------------------------ live updates
  function busy() {
    var list = document.getElementById("queue-rows");
    if (list.querySelector(".row-edit, tbody input:checked, .htmx-request")) return true;
    if (document.querySelector("[popover]:popover-open")) return true;
    if (list.contains(document.activeElement) && document.activeElement.matches("input, select, textarea, button")) return true;
    if (matchMedia("(hover: hover)").matches && list.querySelector("tr.row:hover")) return true;
    return Date.now() - touched < HANDS_OFF;
  }

  function idsIn(html) { return Array.from(html.matchAll(/<tr class="row[^"]*" id="q-(\d+)"/g), function (m) { return m[1]; }); }

  function say(html) {
    var fresh = idsIn(html), known = rows().map(function (r) { return r.dataset.id; });
    var added = fresh.filter(function (id) { return !known.includes(id); }).length;
    var gone = known.filter(function (id) { return !fresh.includes(id); });
    gone.forEach(function (id) {
      row(id).classList.add("is-busy");
      row(id).querySelectorAll("button").forEach(function (b) { b.disabled = true; b.title = "This alert was decided elsewhere"; });
    });
    var button = document.getElementById("queue-new");
    var parts = [added ? added + " new" : "", gone.length ? gone.length + " gone" : ""].filter(Boolean);
    button.textContent = parts.join(", ");
    button.hidden = !parts.length;
  }

  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.elt.id !== "queue-rows" || event.detail.target.id !== "queue-rows") return;
    var asked = event.detail.requestConfig && event.detail.requestConfig.triggeringEvent;
    if (asked && asked.type === "refresh") return;
    if (event.detail.shouldSwap && busy()) {
      event.detail.shouldSwap = false;
      say(event.detail.serverResponse);
    }
  });

  document.addEventListener("htmx:afterSettle", function (event) {
    mark(current);
    count();
    showAll();
    if (event.detail.target && event.detail.target.id === "queue-rows") document.getElementById("queue-new").hidden = true;
    var edit = document.querySelector("#queue-rows .row-edit [aria-invalid=true]") || document.querySelector("#queue-rows .row-edit input[name=quantity]");
    if (edit && event.detail.elt && /^q-/.test(event.detail.elt.id || "") && !edit.closest("tr").contains(document.activeElement)) edit.focus();
  });

  document.addEventListener("pointerdown", function (event) {
    if (event.pointerType === "touch" && event.target.closest("#queue-rows")) touched = Date.now();
  });

  document.addEventListener("htmx:configRequest", function (event) {
    if (event.detail.verb !== "get") return;
    Array.from(event.detail.formData.keys()).forEach(function (name) {
      if (event.detail.formData.get(name) === "") event.detail.formData.delete(name);
    });
  });

  // -------------------------------------------------------------------- selection
  function boxes() { return Array.from(document.querySelectorAll("#queue-rows tbody input[name=id]")); }

  function count() {
    var chosen = boxes().filter(function (b) { return b.checked; });
    boxes().forEach(function (b) { b.closest("tr").classList.toggle("is-sel", b.checked); });
    var bar = document.getElementById("bulk");
    if (!bar) return;
    bar.querySelector("[data-selected]").textContent = chosen.length + " selected";
    bar.querySelectorAll("[data-verb]").forEach(function (button) {
      button.textContent = button.dataset.verb + " " + chosen.length + (button.dataset.verb === "Execute" ? "\u2026" : "");
    });
    var all = document.querySelector("[data-all]");
    if (!all) return;
    all.checked = chosen.length > 0 && chosen.length === boxes().length;
    all.indeterminate = chosen.length > 0 && !all.checked;
  }

  function showAll() {
    var all = document.querySelector("[data-all]");
    if (all && boxes().length) all.hidden = false;
  }

  document.addEventListener("change", function (event) {
    if (event.target.matches("[data-all]")) boxes().forEach(function (b) { b.checked = event.target.checked; });
    if (event.target.matches("[data-all], #queue-rows input[name=id]")) count();
  });

  document.addEventListener("click", function (event) {
    if (event.target.closest("[data-clear]")) { boxes().forEach(function (b) { b.checked = false; }); count(); }
    if (event.target.closest("#queue-new")) window.htmx.trigger("#queue-rows", "refresh");
  });

  // ------------------------------------------------------------------------- keys
  function mark(id) {
    current = id;
    rows().forEach(function (r) {
      var here = r.dataset.id === id;
      r.classList.toggle("is-cur", here);
      if (here) r.setAttribute("aria-current", "true"); else r.removeAttribute("aria-current");
    });
  }

  function step(by) {
    var all = rows();
    if (!all.length) return;
    var at = all.findIndex(function (r) { return r.dataset.id === current; });
    var next = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    mark(next.dataset.id);
    next.scrollIntoView({ block: "nearest" });
  }

  function press(act) {
    var here = current && row(current);
    var control = here && here.querySelector("[data-act=" + act + "]");
    if (control && !control.disabled) control.click();
  }

  var KEYS = {
    j: function () { step(1); },
    k: function () { step(-1); },
    x: function () { press("execute"); },
    e: function () { press("edit"); },
    c: function () { press("cancel"); },
    " ": function () {
      var box = current && row(current) && row(current).querySelector("input[name=id]");
      if (box) { box.checked = !box.checked; count(); }
    },
    Enter: function () { var here = current && row(current); if (here) window.location.assign(here.dataset.story); },
    "/": function () { var q = document.querySelector("#filters input[name=q]"); if (q) q.focus(); },
    "?": function () { var box = document.getElementById("all-keys"); if (box) box.showPopover(); }
  };

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat && !/^[jk]$/.test(event.key)) return;
    var inField = event.target.closest("input:not([type=checkbox]), select, textarea, [popover]");
    if (event.key === "Escape" && inField && !event.target.closest("[popover]")) {
      var discard = event.target.closest(".row-edit") && event.target.closest(".row-edit").querySelector("[data-discard]");
      event.target.blur();
      if (discard) discard.click();
      return;
    }
    if (inField) return;
    if ((event.key === "Enter" || event.key === " ") && event.target.closest("a, button, summary, input")) return;
    var act = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    if (act) { event.preventDefault(); act(); }
  });

  showAll();
  count();
})();
