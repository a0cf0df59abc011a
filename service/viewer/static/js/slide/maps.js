/** The section of the maps: which one lies over the slide, how strongly, and what its colours mean. */

import { address, getJson } from '../api.js';
import { fill, h } from '../dom.js';
import { percent } from '../format.js';
import { fillLater } from '../states.js';
import { MapLayer } from './layer.js';
import { classLegend, scaleLegend } from './legend.js';

/**
 * @typedef {object} MapState as it stands in the address
 * @property {string} map name, empty for none
 * @property {string} layer classes or entropy
 * @property {number[]} hide numbers of classes
 * @property {string} channel of a heatmap, empty for its first
 * @property {number} opacity
 */

export class MapsSection {
  /**
   * @param {import('./context.js').SlideContext} context
   * @param {MapState} state
   * @param {any[]} maps as the API lists them
   */
  constructor(context, state, maps) {
    this.context = context;
    this.state = state;
    this.maps = maps.filter((map) => map.size_px);
    this.notice = h('p', { class: 'wrong small', role: 'alert' });
    this.layer = new MapLayer(context.screen, context.id, (text) => fill(this.notice, text));
    this.layer.setOpacity(state.opacity);
    this.legend = h('div', { class: 'legend-place' });
    this.controls = h('div', { class: 'stack' });
    this.choice = this.makeChoice();
    this.last = state.map || this.maps[0]?.name || '';
    this.element = h('div', { class: 'stack' }, this.choice, this.notice, this.controls, this.legend);
    this.choose(state.map);
  }

  /** @returns {any} the map that is shown */
  get chosen() {
    return this.maps.find((one) => one.name === this.state.map);
  }

  /** @returns {HTMLElement} */
  makeChoice() {
    const option = (/** @type {string} */ value, /** @type {string} */ text) => h('option', { value }, text);
    const words = (/** @type {any} */ map) => (map.kind === map.name ? map.name : `${map.name} (${map.kind})`);
    this.select = h('select', { id: 'map', on: { change: () => this.choose(this.select.value, true) } },
      option('', 'None'), this.maps.map((map) => option(map.name, words(map))));
    return h('div', { class: 'field' }, h('label', { for: 'map' }, 'Map over the slide'), this.select);
  }

  /** Show the map, or hide it. */
  toggle() {
    this.choose(this.state.map ? '' : this.last, true);
  }

  /**
   * @param {string} name empty for none
   * @param {boolean} [fresh] the person chose: nothing of the map before is kept
   */
  choose(name, fresh = false) {
    const known = this.maps.some((map) => map.name === name);
    if (fresh && name !== this.last) Object.assign(this.state, { hide: [], layer: 'classes', channel: '' });
    this.state.map = known ? name : '';
    if (known) this.last = name;
    this.state.hide = this.state.hide.filter((number) => number < (this.chosen?.classes?.length ?? 0));
    this.select.value = this.state.map;
    fill(this.notice, name && !known ? `There is no map ${name} of this slide.` : '');
    fill(this.controls);
    fill(this.legend);
    if (this.chosen) this.showControls(this.chosen);
    this.draw();
  }

  /** Draw the layer as the state says, and keep that in the address. */
  draw() {
    const map = this.chosen;
    if (map) this.layer.show(placed(map), this.state);
    else this.layer.clear();
    this.context.remember();
    this.context.announce('map', Boolean(map));
  }

  /** @param {any} map */
  showControls(map) {
    const parts = [this.opacityControl()];
    if (map.classes && map.arrays.includes('entropy')) parts.push(this.layerControl());
    if (map.channels?.length > 1) parts.push(this.channelControl(map.channels));
    fill(this.controls, parts);
    if (!map.classes || this.state.layer === 'entropy') {
      fill(this.legend, scaleLegend(map, this.state.layer));
      return;
    }
    const { id, signal } = this.context;
    const url = address(['slides', id, 'maps', map.name, 'areas'], { archive: map.archive });
    fillLater(this.legend, async () => {
      const areas = await getJson(url, signal);
      return classLegend(map, areas, this.state.hide, (hide) => {
        this.state.hide = hide;
        this.draw();
      });
    }, 'Measuring areas');
  }

  /** @returns {HTMLElement} */
  opacityControl() {
    const told = h('output', { class: 'soft number' }, percent(this.state.opacity));
    const change = () => {
      this.state.opacity = Number(slider.value) / 100;
      told.textContent = percent(this.state.opacity);
      this.layer.setOpacity(this.state.opacity);
      this.context.remember();
    };
    const slider = h('input', {
      type: 'range', id: 'opacity', min: 0, max: 100, step: 5, value: Math.round(100 * this.state.opacity), on: { input: change },
    });
    this.slider = slider;
    return h('div', { class: 'field' }, h('div', { class: 'row spread' }, h('label', { for: 'opacity', class: 'label' }, 'Opacity'), told), slider);
  }

  /**
   * @param {string[]} channels
   * @returns {HTMLElement}
   */
  channelControl(channels) {
    const change = () => { this.state.channel = select.value; this.draw(); };
    const select = h('select', { id: 'channel', on: { change } },
      channels.map((name) => h('option', { value: name, selected: name === this.state.channel }, name)));
    return h('div', { class: 'field' }, h('label', { for: 'channel' }, 'Channel'), select);
  }

  /** @param {number} by */
  fade(by) {
    if (!this.slider || !this.chosen) return;
    this.slider.value = String(Number(this.slider.value) + by);
    this.slider.dispatchEvent(new Event('input'));
  }

  /** @returns {HTMLElement} */
  layerControl() {
    const radio = (/** @type {string} */ value, /** @type {string} */ text) => h('label', { class: 'choice' },
      h('input', {
        type: 'radio', name: 'layer', value, checked: this.state.layer === value,
        on: { change: () => { this.state.layer = value; this.showControls(this.chosen); this.draw(); } },
      }), text);
    return h('div', { class: 'row', role: 'radiogroup', 'aria-label': 'What the map shows' }, radio('classes', 'Classes'), radio('entropy', 'Uncertainty'));
  }
}

/**
 * @param {any} map as the API lists it
 * @returns {import('./layer.js').Placed}
 */
function placed(map) {
  return { name: map.name, archive: map.archive, origin: map.level0_origin, step: map.level0_step, size_px: map.size_px };
}
