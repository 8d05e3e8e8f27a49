// A click into a field marked data-select selects all of it, ready to be copied.
document.querySelectorAll("[data-select]").forEach((field) => field.addEventListener("focus", () => field.select()));
