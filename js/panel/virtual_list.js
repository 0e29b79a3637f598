/** Arithmetic of a list of which only the visible rows are on the page. All rows are equally high. */

/** Rows above and below the visible ones that are drawn as well. */
export const MARGIN = 4;

/**
 * The rows to draw.
 *
 * @param {number} scrollTop pixels
 * @param {number} height of the window, pixels
 * @param {number} rowHeight pixels
 * @param {number} total number of rows
 * @returns {{first: number, end: number}} `end` is the first row that is not drawn
 */
export function windowOf(scrollTop, height, rowHeight, total) {
  const top = Math.max(0, Math.min(scrollTop, total * rowHeight - height));
  const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
  const end = Math.min(total, Math.ceil((top + height) / rowHeight) + MARGIN);
  return { first, end: Math.max(first, end) };
}

/**
 * The pages that hold rows `first` up to `end`.
 *
 * @param {number} first
 * @param {number} end
 * @param {number} size rows in a page
 */
export function pagesOf(first, end, size) {
  if (end <= first) return [];
  const [from, to] = [Math.floor(first / size), Math.floor((end - 1) / size)];
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/**
 * Where to scroll so that a row is seen whole; where it is seen already, nowhere.
 *
 * @param {number} row
 * @param {number} scrollTop
 * @param {number} height
 * @param {number} rowHeight
 */
export function scrollFor(row, scrollTop, height, rowHeight) {
  const [top, bottom] = [row * rowHeight, (row + 1) * rowHeight];
  if (top < scrollTop) return top;
  return bottom > scrollTop + height ? bottom - height : scrollTop;
}

/**
 * The row to which a key leads; null where it leads nowhere.
 *
 * @param {string} key
 * @param {number} at the row now, -1 where there is none
 * @param {number} total
 * @param {number} screen rows that fit
 */
export function rowAfter(key, at, total, screen) {
  if (total === 0) return null;
  /** @type {Record<string, number>} */
  const ways = {
    ArrowDown: at + 1,
    ArrowUp: at - 1,
    PageDown: at + screen,
    PageUp: at - screen,
    Home: 0,
    End: total - 1,
  };
  const to = ways[key];
  return to === undefined ? null : Math.max(0, Math.min(total - 1, to));
}
