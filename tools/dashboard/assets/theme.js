// Dark or light: as the system prefers until somebody chooses.

const root = document.documentElement;
const button = document.getElementById("theme");

/** Calls `changed` after each change. */
export function startTheme(changed) {
  const show = () => (button.textContent = root.dataset.theme === "dark" ? "light" : "dark");
  const set = (theme) => {
    root.dataset.theme = theme;
    show();
    changed();
  };
  button.addEventListener("click", () => {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    set(theme);
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // Without storage it lasts as long as the page.
    }
  });
  matchMedia("(prefers-color-scheme: light)").addEventListener("change", ({ matches }) => {
    if (!kept()) set(matches ? "light" : "dark");
  });
  show();
}

function kept() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}
