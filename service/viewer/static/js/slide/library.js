/** OpenSeadragon, loaded with the first slide. */

const ADDRESS = new URL('../../vendor/openseadragon-6.1.1/openseadragon.min.js', import.meta.url).href;

/** @type {Promise<any> | null} */
let library = null;

/** @returns {Promise<any>} OpenSeadragon, loaded with the first slide */
export function loadLibrary() {
  library ??= new Promise((done, failed) => {
    document.head.append(standIn());
    const script = document.createElement('script');
    script.src = ADDRESS;
    script.onload = () => done(/** @type {any} */ (window).OpenSeadragon);
    script.onerror = () => failed(new Error('the library of the slide view did not load'));
    document.head.append(script);
  });
  return library;
}

/**
 * The library writes a style into the page unless it finds its own there, and the page's policy
 * refuses styles in pages. This element is found and styles nothing; css/slide.css has the rule.
 * @returns {Element}
 */
function standIn() {
  const element = document.createElementNS('microtome', 'style');
  element.setAttribute('data-openseadragon-mobile-css', '');
  return element;
}
