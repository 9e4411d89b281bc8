// Puts the chosen theme on before the first paint: a script of its own, since the page's policy
// allows none inline. src/theme.ts does the rest.
try {
  const theme = localStorage.getItem("muster-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's theme it is.
}
