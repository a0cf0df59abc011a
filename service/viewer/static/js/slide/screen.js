/** The slide on the screen: OpenSeadragon, its place in the address, and what is painted over it. */

import { Problem, address } from '../api.js';
import { calm } from '../dom.js';
import { loadLibrary } from './library.js';
import { Overlay } from './overlay.js';

const KEYS = new Set(['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', '+', '-', '=', '0']);
/** Keys that the library may act on; its letters would turn and mirror the slide. */

/** @typedef {{x: number, y: number, zoom: number}} Place centre in level-0 pixels, CSS px per level-0 px */

export class Screen {
  /**
   * @param {any} OSD
   * @param {HTMLElement} element
   * @param {import('./frame.js').Frame} frame
   */
  constructor(OSD, element, frame) {
    this.OSD = OSD;
    this.frame = frame;
    this.viewer = OSD(options(element));
    this.overlay = new Overlay(this);
    this.viewer.addHandler('canvas-key', (/** @type {any} */ event) => {
      event.preventDefaultAction = !KEYS.has(event.originalEvent.key);
    });
  }

  /** @returns {number} CSS pixels per level-0 pixel, as drawn now */
  get scale() {
    return this.frame.scaleOf(this.viewer.viewport.getZoom(true), this.viewer.container.clientWidth);
  }

  /** @returns {Place} */
  get place() {
    const centre = this.frame.toLevel0(this.viewer.viewport.getCenter(true));
    return { ...centre, zoom: this.scale };
  }

  /** @returns {import('./frame.js').Box} what the window shows */
  get view() {
    const bounds = this.viewer.viewport.getBounds(true);
    const corner = this.frame.toLevel0(bounds);
    const size = this.frame.toLevel0({ x: bounds.width, y: bounds.height });
    return { ...corner, width: size.x, height: size.y };
  }

  /**
   * Go somewhere.
   * @param {Partial<Place>} place
   * @param {boolean} [immediately]
   */
  goTo({ x, y, zoom }, immediately = false) {
    const { viewport, container } = this.viewer;
    const here = this.place;
    if (zoom) viewport.zoomTo(this.frame.zoomOf(zoom, container.clientWidth), undefined, immediately);
    const centre = this.frame.toViewport(x ?? here.x, y ?? here.y);
    viewport.panTo(new this.OSD.Point(centre.x, centre.y), immediately);
    viewport.applyConstraints(immediately);
  }

  /** @param {number} factor */
  zoomBy(factor) {
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  /** Show the whole slide. */
  goHome() {
    this.viewer.viewport.goHome();
  }

  /**
   * @param {PointerEvent | MouseEvent | {clientX: number, clientY: number}} event
   * @returns {import('./frame.js').Point} level-0 pixels under the pointer
   */
  under(event) {
    const box = this.viewer.container.getBoundingClientRect();
    const pixel = new this.OSD.Point(event.clientX - box.left, event.clientY - box.top);
    return this.frame.toLevel0(this.viewer.viewport.pointFromPixel(pixel, true));
  }

  /** @param {() => void} act called when the view comes to rest */
  onRest(act) {
    const later = calm(act, 150);
    for (const name of ['animation-finish', 'animation', 'resize']) this.viewer.addHandler(name, later);
  }

  /** @param {(point: import('./frame.js').Point) => void} act called with level-0 pixels */
  onClick(act) {
    this.viewer.addHandler('canvas-click', (/** @type {any} */ event) => {
      if (!event.quick) return;
      act(this.frame.toLevel0(this.viewer.viewport.pointFromPixel(event.position, true)));
    });
  }
}

/**
 * @param {HTMLElement} element
 * @returns {any}
 */
function options(element) {
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const gestures = { clickToZoom: false, dblClickToZoom: true };
  return {
    element, drawer: 'canvas', showNavigationControl: false, showNavigator: true, navigatorPosition: 'TOP_RIGHT', navigatorAutoFade: false,
    navigatorBackground: 'transparent', navigatorBorderColor: '#8b97a3', navigatorDisplayRegionColor: '#d4008f', navigatorOpacity: 1,
    navigatorSizeRatio: 0.14, navigatorMaintainSizeRatio: true, animationTime: still ? 0 : 0.5, springStiffness: 8, maxZoomPixelRatio: 4,
    minZoomImageRatio: 0.6, visibilityRatio: 0.4, gestureSettingsMouse: gestures, gestureSettingsPen: gestures,
    imageLoaderLimit: 8, maxImageCacheCount: 600, timeout: 60000, crossOriginPolicy: false,
  };
}

/**
 * Open a slide in an element.
 * @param {HTMLElement} element
 * @param {any} slide as the API describes it
 * @param {import('./frame.js').Frame} frame
 * @param {AbortSignal} signal closes it
 * @returns {Promise<Screen>} once its description is read
 */
export async function openScreen(element, slide, frame, signal) {
  const OSD = await loadLibrary();
  signal.throwIfAborted();
  const screen = new Screen(OSD, element, frame);
  signal.addEventListener('abort', () => screen.viewer.destroy());
  const picture = address(['slides', slide.id, 'thumbnail'], { max_px: 1024 });
  const source = slide.pixels ? address(['slides', `${slide.id}.dzi`]) : { type: 'image', url: picture };
  await new Promise((done, failed) => {
    screen.viewer.addOnceHandler('open', done);
    screen.viewer.addOnceHandler('open-failed', () => failed(new Problem(0, 'The pixels of this slide could not be read.')));
    screen.viewer.open({ tileSource: source, x: 0, y: 0, width: 1 });
  });
  return screen;
}
