/* Before anything is drawn: the theme that was chosen, so that a page never flashes. */
'use strict';

(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let chosen = null;
  try {
    chosen = localStorage.getItem('microtome.theme');
  } catch { /* a browser that keeps nothing: the system's theme */ }
  const theme = chosen === 'light' || chosen === 'dark' ? chosen : null;
  if (theme) root.dataset.theme = theme;
  root.classList.toggle('dark-mode', (theme ?? (dark.matches ? 'dark' : 'light')) === 'dark');
})();
