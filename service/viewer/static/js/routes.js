/** Addresses of the viewer's own pages, after the `#`: they can be kept and sent to others. */

/**
 * @typedef {object} Route
 * @property {string[]} parts such as ['slides', 'CMU-1']
 * @property {URLSearchParams} query
 */

/**
 * Read an address.
 * @param {string} hash
 * @returns {Route}
 */
export function readRoute(hash) {
  const [path, search = ''] = hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(unescaped);
  return { parts: parts.length ? parts : ['slides'], query: new URLSearchParams(search) };
}

/**
 * @param {string} part
 * @returns {string}
 */
function unescaped(part) {
  try {
    return decodeURIComponent(part);
  } catch { // a lone % typed by hand
    return part;
  }
}

/**
 * Write an address.
 * @param {string[]} parts
 * @param {Record<string, any>} [query] entries without a value are left out
 * @returns {string}
 */
export function route(parts, query = {}) {
  const words = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const search = new URLSearchParams(words.map(([name, value]) => [name, String(value)])).toString();
  return `#/${parts.map(encodeURIComponent).join('/')}${search && `?${search}`}`;
}

/**
 * Change the address without leaving the page.
 * @param {string} hash
 */
export function replaceRoute(hash) {
  if (hash !== location.hash) history.replaceState(null, '', hash);
}
