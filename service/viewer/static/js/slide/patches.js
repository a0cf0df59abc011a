/** The section of the patches: the grid, how many there are, and the one that is selected. */

import { address, getJson } from '../api.js';
import { fill, h } from '../dom.js';
import { count, plural, resolution } from '../format.js';
import { empty, fillLater } from '../states.js';
import { PatchGrid } from './grid.js';
import { showPatch } from './patch.js';

/**
 * @typedef {object} Patches of a slide in one archive
 * @property {string} archive
 * @property {PatchGrid} grid
 * @property {number | null} um side in microns
 * @property {ArrayLike<number>} [tissue]
 * @property {ArrayLike<number>} [status]
 * @property {(index: number) => string} [labels]
 */

export class PatchesSection {
  /**
   * @param {import('./context.js').SlideContext} context
   * @param {any} held what the archive has of the slide
   */
  constructor(context, held) {
    this.context = context;
    this.held = held;
    /** @type {Patches | null} */
    this.patches = null;
    this.box = h('input', { type: 'checkbox', id: 'grid', on: { change: () => this.showGrid(this.box.checked) } });
    this.about = h('div', {});
    this.place = h('div', { class: 'stack patch-place' });
    this.element = h('div', { class: 'stack' },
      h('label', { class: 'choice' }, this.box, 'Grid over the slide'), this.about, this.place);
  }

  /** Read the grid, then show what the address asks for. */
  async open() {
    const { id, signal, state, screen } = this.context;
    await fillLater(this.about, async () => {
      const query = { archive: this.held.name, format: 'json' };
      this.patches = read(await getJson(address(['slides', id, 'patches'], query), signal), screen.frame.mpp);
      screen.overlay.add(this.patches.grid.paint);
      return this.describe(this.patches);
    }, 'Loading the grid');
    if (!this.patches) return;
    this.showGrid(state.grid);
    if (state.patch === null) this.clear();
    else this.select(state.patch, state.place.x === undefined);
  }

  /**
   * @param {Patches} patches
   * @returns {HTMLElement}
   */
  describe({ grid }) {
    const { patch_size_px: side, mpp } = this.held;
    const go = (/** @type {Event} */ event) => {
      event.preventDefault();
      if (input.value !== '') this.select(Number(input.value), true);
    };
    const input = h('input', { type: 'number', id: 'patch-number', min: 0, max: grid.count - 1, step: 1, placeholder: `0 to ${count(grid.count - 1)}` });
    return h('div', { class: 'stack' },
      h('p', { class: 'soft small number' }, `${plural(grid.count, 'patch', 'patches')} of ${side ?? '?'} px at ${resolution(mpp?.[0])}`),
      h('form', { class: 'go', novalidate: true, on: { submit: go } },
        h('label', { for: 'patch-number', class: 'small' }, 'Go to patch'), input, h('button', { class: 'button', type: 'submit' }, 'Go')));
  }

  /** @param {boolean} shown */
  showGrid(shown) {
    if (!this.patches) return;
    this.box.checked = shown;
    this.patches.grid.shown = shown;
    this.context.state.grid = shown;
    this.context.screen.overlay.draw();
    this.context.announce('grid', shown);
    this.context.remember();
  }

  /** Show no patch. */
  clear() {
    this.context.state.patch = null;
    if (this.patches) this.patches.grid.selected = null;
    fill(this.place, h('p', { class: 'soft small' }, 'Click a patch on the slide, or press Enter for the one in the middle, to see what it is and where its like are.'));
    this.context.screen.overlay.draw();
    this.context.remember();
  }

  /**
   * @param {import('./frame.js').Point} point level-0 pixels
   */
  selectAt(point) {
    const index = this.patches?.grid.at(point) ?? null;
    if (index === null) this.clear();
    else this.select(index, false);
  }

  /**
   * @param {number} index
   * @param {boolean} travel whether the slide moves there
   */
  select(index, travel) {
    const { grid } = this.patches ?? {};
    if (!this.patches || !grid) return;
    if (!Number.isInteger(index) || index < 0 || index >= grid.count) {
      fill(this.place, empty(`There is no patch ${index}.`));
      return;
    }
    this.context.state.patch = index;
    if (travel) this.context.screen.goTo(grid.middle(index));
    showPatch(this.context, this.place, index, this.patches, this.held.embeddings ?? []);
    this.context.reveal('patches');
    this.context.remember();
  }
}

/**
 * @param {any} told by the API
 * @param {number | null} mpp
 * @returns {Patches}
 */
function read(told, mpp) {
  const { x, y, status, tissue_fraction: tissue, labels } = told.patches;
  const names = told.label_names ?? [];
  const named = (/** @type {number} */ number) => names[number] ?? `class ${number}`;
  const words = (/** @type {number | number[]} */ label) => {
    if (!Array.isArray(label)) return label < 0 ? 'unknown' : named(label);
    return label.flatMap((one, number) => (one === 1 ? [named(number)] : [])).join(', ') || 'none';
  };
  return {
    archive: told.archive,
    grid: new PatchGrid({ x, y, status }, told.patch_size_level0),
    um: mpp && told.patch_size_level0[0] * mpp,
    tissue,
    status,
    labels: labels ? (index) => words(labels[index]) : undefined,
  };
}
