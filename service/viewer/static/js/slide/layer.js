/** A map as a picture over the slide: one at a time, changed without a gap. */

import { address } from '../api.js';

const LATEST_MS = 1500;
/** For so long at most the picture before stays under the new one. */

/** @typedef {{name: string, archive: string, origin: [number, number], step: [number, number], size_px: [number, number]}} Placed */
/** @typedef {{layer: string, hide: number[], channel: string}} Look */

export class MapLayer {
  /**
   * @param {import('./screen.js').Screen} screen
   * @param {string} id of the slide
   * @param {(trouble: string) => void} tell
   */
  constructor(screen, id, tell) {
    this.screen = screen;
    this.id = id;
    this.tell = tell;
    this.opacity = 0.6;
    /** @type {any} */
    this.item = null;
    this.turn = 0;
  }

  /** @param {number} opacity 0 to 1 */
  setOpacity(opacity) {
    this.opacity = opacity;
    this.item?.setOpacity(opacity);
  }

  /** Take the map away. */
  clear() {
    this.turn += 1;
    this.remove(this.item);
    this.item = null;
  }

  /**
   * Show a map instead of what is shown.
   * @param {Placed} map
   * @param {Look} look
   */
  show(map, look) {
    this.turn += 1;
    const turn = this.turn;
    const source = address(['slides', this.id, 'maps', `${map.name}.dzi`], {
      archive: map.archive,
      layer: look.layer === 'classes' ? '' : look.layer,
      channel: look.channel,
      hide: look.hide.join(','),
    });
    const corner = this.screen.frame.toViewport(map.origin[0], map.origin[1]);
    const { x: width } = this.screen.frame.toViewport(map.size_px[0] * map.step[0], 0);
    this.screen.viewer.addTiledImage({
      tileSource: source, x: corner.x, y: corner.y, width, opacity: this.opacity,
      success: (/** @type {any} */ event) => this.take(event.item, turn),
      error: () => turn === this.turn && this.tell('The map could not be shown.'),
    });
  }

  /**
   * @param {any} item
   * @param {number} turn
   */
  take(item, turn) {
    if (turn !== this.turn) {
      this.remove(item);
      return;
    }
    const before = this.item;
    this.item = item;
    item.setOpacity(this.opacity);
    if (!before) return;
    const leave = () => this.remove(before);
    item.addOnceHandler('fully-loaded-change', leave);
    setTimeout(leave, LATEST_MS);
  }

  /** @param {any} item */
  remove(item) {
    const world = this.screen.viewer.world;
    if (item && world && world.getIndexOfItem(item) >= 0) world.removeItem(item);
  }
}
