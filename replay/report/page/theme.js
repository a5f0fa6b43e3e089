// Light and dark: what the system asks for, until the reader chooses.
// May not live here: any colour of the page (style.css); the charts read them from there.

/** Say which theme is shown. */
function currentTheme() {
  return document.documentElement.dataset.theme;
}

/** Give the colours of the theme, for charts. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "panel", "ink", "quiet", "line", "gain", "loss", "accent", "second"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const PRINTED_WIDTH = 960;

/** Say how wide charts are to be drawn: a sheet of paper across while printing, else as wide as their place (null). */
function printedWidth() {
  return document.documentElement.dataset.printing ? PRINTED_WIDTH : null;
}

/** Show a theme and tell those who draw. */
function showTheme(theme, redraw) {
  document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  button.textContent = theme === "dark" ? "Light" : "Dark";
  if (redraw) redraw();
}

/** Follow the system, the reader's button and the printer, which is always light. */
function followTheme(redraw) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const wanted = () => chosen || (system.matches ? "dark" : "light");
  showTheme(wanted());
  system.addEventListener("change", () => showTheme(wanted(), redraw));
  document.getElementById("theme").addEventListener("click", () => {
    chosen = currentTheme() === "dark" ? "light" : "dark";
    showTheme(chosen, redraw);
  });
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.printing = "yes";
    showTheme("light", redraw);
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.printing;
    showTheme(wanted(), redraw);
  });
}
