/** What holds the parts of a slide's page together: the slide, what is shown, and its address. */

import { replaceRoute, route } from '../routes.js';
import { drawRectangle } from './drawing.js';
import { readState, writeState } from './state.js';

/** What the sections of a slide's page share. */
export class SlideContext {
  /**
   * @param {any} slide as the API describes it
   * @param {import('../main.js').Visit} visit
   * @param {HTMLElement} stage
   */
  constructor(slide, visit, stage) {
    this.slide = slide;
    this.id = slide.id;
    this.signal = visit.signal;
    this.state = readState(visit.query);
    this.stage = stage;
    /** @type {import('./screen.js').Screen} */
    this.screen = /** @type {any} */ (null);
    /** @type {import('./patches.js').PatchesSection | null} */
    this.patches = null;
    /** @type {import('./maps.js').MapsSection | null} */
    this.maps = null;
    /** @type {import('./region.js').RegionSection | null} */
    this.region = null;
    this.encoder = '';
    this.announce = (/** @type {string} */ _state, /** @type {boolean} */ _on) => {};
    this.ready = false;
  }

  /** Keep what is shown in the address. */
  remember() {
    if (!this.ready || this.signal.aborted) return;
    replaceRoute(route(['slides', this.id], writeState(this.state, this.screen.place)));
  }

  /**
   * @param {number} index
   * @param {boolean} travel
   */
  selectPatch(index, travel) {
    this.patches?.select(index, travel);
  }

  /** @param {string} name of a section of the panel */
  reveal(name) {
    const found = document.getElementById(`section-${name}`);
    if (found instanceof HTMLDetailsElement) found.open = true;
  }

  /** Let the person draw the region that is to be saved. */
  async drawRegion() {
    if (!this.region) return;
    const box = await drawRectangle(this.screen, this.stage, this.signal);
    if (!box) return;
    this.reveal('region');
    this.region.take(box);
    this.region.save.focus();
  }
}
