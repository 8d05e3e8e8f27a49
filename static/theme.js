// The chosen theme, before the first paint. Loaded in the head without defer, so that no page flashes in the wrong colours.
(function () {
  "use strict";
  var root = document.documentElement, KEY = "tvapp-theme";
  root.classList.add("js");
  try {
    var kept = localStorage.getItem(KEY);
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch (refused) { /* private mode: the system's theme it is */ }

  document.addEventListener("click", function (event) {
    var toggle = event.target.closest("[data-theme-toggle]");
    if (toggle) return swap();
    var opener = event.target.closest("[data-popover]");
    var box = opener && document.getElementById(opener.dataset.popover);
    if (box && box.showPopover) {
      event.preventDefault();
      box.showPopover();
      var field = box.querySelector("input:not([type=hidden])");
      if (field) field.focus();
    }
  });

  function swap() {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem(KEY, root.dataset.theme); } catch (refused) { /* not kept */ }
    document.dispatchEvent(new CustomEvent("themechange"));
  }
})();
