/** Light or dark: as the system has it, until the person chooses. */

const KEY = 'microtome.theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

/** @returns {boolean} whether the page is dark now */
export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === 'dark' : dark.matches;
}

/** Take the other theme, and remember it in this browser. */
export function toggleTheme() {
  const theme = isDark() ? 'light' : 'dark';
  document.documentElement.dataset.theme = theme;
  document.documentElement.classList.toggle('dark-mode', theme === 'dark');
  try {
    localStorage.setItem(KEY, theme);
  } catch { /* it lasts as long as the page */ }
}
