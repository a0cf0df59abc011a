/** What lies over the slide: buttons, the scale bar, the place under the pointer. */

import { address, getJson } from '../api.js';
import { calm, h } from '../dom.js';
import { count } from '../format.js';
import { makeScaleBar } from './scalebar.js';
import { makeToolbar } from './toolbar.js';

/** @param {import('./context.js').SlideContext} context */
export function drawStage(context) {
  const { screen, stage, signal } = context;
  const middle = () => context.patches?.selectAt(screen.place);
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen());
  const toolbar = makeToolbar([
    { icon: 'plus', label: 'Nearer', key: '+', act: () => screen.zoomBy(1.5) },
    { icon: 'minus', label: 'Farther', key: '-', act: () => screen.zoomBy(1 / 1.5) },
    { icon: 'fit', label: 'Whole slide', key: '0', act: () => screen.goHome() },
    { icon: 'layers', label: 'Map', key: 'm', state: 'map', act: () => context.maps?.toggle() },
    { icon: 'grid', label: 'Patch grid', key: 'g', state: 'grid', act: () => context.patches?.showGrid(!context.state.grid) },
    { icon: 'crop', label: 'Save a region', key: 'r', act: () => context.drawRegion() },
    { icon: null, label: 'Fainter map', key: '[', act: () => context.maps?.fade(-10) },
    { icon: null, label: 'Stronger map', key: ']', act: () => context.maps?.fade(10) },
    { icon: null, label: 'Full screen', key: 'f', act: full },
    { icon: null, label: 'Patch in the middle', key: 'Enter', act: middle },
    { icon: null, label: 'No patch', key: 'Escape', act: () => context.patches?.clear() },
  ], signal);
  context.announce = toolbar.press;
  tellOfLostTiles(context);
  const where = h('div', { class: 'where number', 'aria-hidden': 'true' });
  stage.append(toolbar.element, makeScaleBar(screen), where);
  stage.addEventListener('pointermove', (event) => {
    const { x, y } = screen.under(event);
    where.textContent = `${count(Math.floor(x))}, ${count(Math.floor(y))}`;
  });
  screen.viewer.canvas.setAttribute('aria-label', `Slide ${context.id}: the arrow keys move it, plus and minus zoom`);
  screen.viewer.canvas.setAttribute('role', 'application');
}

/**
 * Say it when parts of the slide do not come; perhaps the session has ended, so ask who one is.
 * @param {import('./context.js').SlideContext} context
 */
function tellOfLostTiles({ screen, stage, signal }) {
  const again = () => {
    notice.remove();
    screen.viewer.world.resetItems();
  };
  const notice = h('div', { class: 'notice alarm lost', role: 'alert' }, h('p', {}, 'Parts of the picture could not be loaded.'),
    h('button', { class: 'button slim', type: 'button', on: { click: again } }, 'Try again'));
  const tell = calm(async () => {
    if (signal.aborted) return;
    stage.append(notice);
    await getJson(address(['me']), signal).catch(() => {});
  }, 300);
  screen.viewer.addHandler('tile-load-failed', tell);
}
