// What counts on by itself: ages (data-since, seconds since 1970) and the clock of the banner.
(function () {
  "use strict";
  function face(seconds) {
    var minutes = Math.floor(seconds / 60);
    if (minutes < 60) return minutes + ":" + String(seconds % 60).padStart(2, "0");
    return Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0");
  }

  setInterval(function () {
    var now = Math.floor(Date.now() / 1000);
    document.querySelectorAll(".mode-end .clock time").forEach(function (clock) {
      clock.textContent = new Date().toLocaleTimeString("en-GB", { timeZone: "Asia/Kolkata" });
    });
    document.querySelectorAll("[data-since]").forEach(function (age) {
      age.textContent = face(Math.max(0, now - Number(age.dataset.since)));
    });
  }, 1000);
})();
