/** Finding patches by place: they are sorted, so halving is enough. */

/**
 * @param {ArrayLike<number>} y not falling
 * @returns {number[]} where each row begins
 */
export function rowStarts(y) {
  const starts = [];
  for (let index = 0; index < y.length; index += 1) if (index === 0 || y[index] !== y[index - 1]) starts.push(index);
  return starts;
}

/**
 * @param {number[]} rows
 * @param {ArrayLike<number>} y
 * @param {number} above
 * @returns {number} first row that lies below
 */
export function firstRow(rows, y, above) {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (y[rows[middle]] <= above) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * @param {ArrayLike<number>} x rising from start to end
 * @param {number} start
 * @param {number} end
 * @param {number} beyond
 * @returns {number} first index that lies to the right
 */
export function firstFrom(x, start, end, beyond) {
  let [low, high] = [start, end];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] <= beyond) low = middle + 1;
    else high = middle;
  }
  return low;
}
