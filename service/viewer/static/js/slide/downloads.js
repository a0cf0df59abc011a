/** The section of downloads: embeddings in each format, maps in each format. */

import { address, getJson } from '../api.js';
import { h } from '../dom.js';
import { count } from '../format.js';
import { downloadLink } from './saving.js';

const EMBEDDING_FORMATS = ['h5', 'pt', 'npz', 'parquet', 'arrow'];
/** @type {Record<string, string>} what can be had of a map, by the ending of its address */
const WORDS = { '.png': 'PNG', '.geojson': 'GeoJSON', '.ome.tif': 'OME-TIFF', '/areas': 'areas CSV' };

/**
 * @param {import('./context.js').SlideContext} context
 * @param {any[]} maps as the API lists them
 * @returns {Promise<HTMLElement>}
 */
export async function downloads(context, maps) {
  const embeddings = context.slide.archives.length === 0 ? [] : await getJson(address(['slides', context.id, 'embeddings']), context.signal);
  if (!embeddings.length && !maps.length) {
    return h('p', { class: 'soft small' }, 'There are no embeddings and no maps of this slide yet.');
  }
  return h('div', { class: 'stack' },
    embeddings.length > 0 && h('h3', {}, 'Embeddings'),
    embeddings.map((/** @type {any} */ one) => embeddingLinks(context.id, one)),
    maps.length > 0 && h('h3', {}, 'Maps'),
    maps.map((one) => mapLinks(context.id, one)));
}

/**
 * @param {string} id
 * @param {any} one
 * @returns {HTMLElement}
 */
function embeddingLinks(id, one) {
  const link = (/** @type {string} */ format) => downloadLink(
    address(['slides', id, 'embeddings', one.encoder], { format, archive: one.archive }), format, `Embeddings of ${one.encoder} as ${format}`);
  return h('div', { class: 'download' },
    h('div', {}, h('span', { class: 'wrap' }, one.encoder), ' ', h('span', { class: 'soft small number' }, `${count(one.count)} × ${count(one.dim)}, ${one.dtype}`)),
    h('div', { class: 'row tight' }, EMBEDDING_FORMATS.map(link)));
}

/**
 * @param {string} id
 * @param {any} map
 * @returns {HTMLElement}
 */
function mapLinks(id, map) {
  const link = (/** @type {string} */ ending) => {
    const text = WORDS[ending];
    const isPart = ending.startsWith('/');
    const path = isPart ? [map.name, ending.slice(1)] : [`${map.name}${ending}`];
    const url = address(['slides', id, 'maps', ...path], { archive: map.archive, format: isPart && 'csv' });
    return text && downloadLink(url, text, isPart ? `Areas of map ${map.name} as CSV` : `Map ${map.name} as ${text}`);
  };
  return h('div', { class: 'download' }, h('div', { class: 'wrap' }, map.name), h('div', { class: 'row tight' }, map.downloads.map(link)));
}
