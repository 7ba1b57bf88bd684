// Airflow keeps the chosen theme in localStorage, as "light", "dark" or "system". A page within it follows, at
// once and when it changes. A plain script in the head: the page must not flash in the other theme first.
const dark = matchMedia("(prefers-color-scheme: dark)");

function follow() {
  const chosen = localStorage.getItem("theme");
  const theme = chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  // The flame graph's viewer has a setting of its own.
  localStorage.setItem("speedscope-color-scheme", theme.toUpperCase());
  document.dispatchEvent(new Event("theme"));
}

follow();
dark.addEventListener("change", follow);
addEventListener("storage", (event) => event.key === "theme" && follow());
