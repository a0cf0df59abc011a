/** Numbers as people read them. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/**
 * @param {number} value
 * @returns {string} 12345 as "12,345"
 */
export function count(value) {
  return whole.format(value);
}

/**
 * @param {number} value
 * @param {string} noun
 * @param {string} [many]
 * @returns {string} "1 patch", "2 patches"
 */
export function plural(value, noun, many = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : many}`;
}

/**
 * @param {number} value
 * @param {number} [digits] how many count
 * @returns {string} without needless zeros
 */
export function short(value, digits = 3) {
  return String(Number(value.toPrecision(digits)));
}

/**
 * @param {number | null | undefined} mpp
 * @returns {string}
 */
export function resolution(mpp) {
  return mpp ? `${short(mpp, 4)} µm/px` : 'unknown resolution';
}

/**
 * @param {number} um
 * @returns {string} in µm below a millimetre, else in mm
 */
export function length(um) {
  return um < 1000 ? `${short(um)} µm` : `${short(um / 1000)} mm`;
}

/**
 * @param {number} mm2
 * @returns {string}
 */
export function area(mm2) {
  return `${mm2 >= 100 ? mm2.toFixed(0) : mm2 >= 1 ? mm2.toFixed(2) : mm2.toFixed(3)} mm²`;
}

/**
 * @param {number} share from 0 to 1
 * @returns {string}
 */
export function percent(share) {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}

/**
 * @param {number} size
 * @returns {string}
 */
export function bytes(size) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, size < 1 ? 0 : Math.floor(Math.log10(size) / 3));
  return `${short(size / 1000 ** power)} ${units[power]}`;
}

/**
 * @param {string | null | undefined} iso
 * @returns {string} date and time of this place
 */
export function moment(iso) {
  if (!iso) return '–';
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  return at.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
}

/**
 * @param {number} seconds
 * @returns {string}
 */
export function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
