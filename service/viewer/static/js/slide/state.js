/** What a permalink of a slide holds: where one looks, and what lies over the slide. */

/**
 * @typedef {object} SlideState
 * @property {Partial<import('./screen.js').Place>} place
 * @property {string} archive
 * @property {string} map
 * @property {string} layer
 * @property {number[]} hide
 * @property {string} channel
 * @property {number} opacity
 * @property {boolean} grid
 * @property {number | null} patch
 */

const OPACITY = 0.6;

/**
 * @param {URLSearchParams} query
 * @returns {SlideState}
 */
export function readState(query) {
  const number = (/** @type {string} */ name) => {
    const text = query.get(name);
    return text !== null && text !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined;
  };
  const zoom = number('zoom');
  return {
    place: { x: number('x'), y: number('y'), zoom: zoom && zoom > 0 ? zoom : undefined },
    archive: query.get('archive') ?? '',
    map: query.get('map') ?? '',
    layer: query.get('layer') === 'entropy' ? 'entropy' : 'classes',
    hide: (query.get('hide') ?? '').split(',').filter((one) => /^\d+$/.test(one)).map(Number),
    channel: query.get('channel') ?? '',
    opacity: Math.min(1, Math.max(0, number('opacity') ?? OPACITY)),
    grid: query.get('grid') === '1',
    patch: number('patch') ?? null,
  };
}

/**
 * @param {SlideState} state
 * @param {import('./screen.js').Place} place
 * @returns {Record<string, any>} words of the address; what is as usual is left out
 */
export function writeState(state, place) {
  return {
    x: Math.round(place.x),
    y: Math.round(place.y),
    zoom: Number(place.zoom.toPrecision(4)),
    archive: state.archive,
    map: state.map,
    layer: state.map && state.layer !== 'classes' ? state.layer : '',
    hide: state.map ? state.hide.join(',') : '',
    channel: state.map ? state.channel : '',
    opacity: state.map && state.opacity !== OPACITY ? state.opacity : '',
    grid: state.grid ? 1 : '',
    patch: state.patch,
  };
}
