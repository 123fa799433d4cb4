// Where words may stand on the canvas: on a dark ground, off each other. Boxes are [x0, y0, x1, y1].

export function chipSize(context, words, unit) {
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  return [context.measureText(words).width + 10 * unit, 18 * unit];
}

export function chip(context, words, [x0, y0, x1, y1], color, unit) {
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.fillStyle = "rgba(0, 0, 0, 0.66)";
  context.fillRect(x0, y0, x1 - x0, y1 - y0);
  context.fillStyle = color;
  context.textBaseline = "middle";
  context.fillText(words, x0 + 5 * unit, (y0 + y1) / 2 + unit * 0.5);
}

// Boxes of this size with their corner at a spot, where they fit and touch nothing in `taken`.
export function free(canvas, spots, [width, height], taken) {
  return spots
    .map(([x, y]) => [x, y, x + width, y + height])
    .filter(([x, y, right, bottom]) => x >= 0 && y >= 0 && right <= canvas.width && bottom <= canvas.height)
    .filter((box) => !taken.some((other) => shared(box, other) > 0));
}

// How much of the shapes a box hides, by their boxes.
export function hidden(box, shapes) {
  return shapes.reduce((sum, shape) => sum + shared(box, shape), 0);
}

export function area([x0, y0, x1, y1]) {
  return (x1 - x0) * (y1 - y0);
}

function shared(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return Math.max(0, width) * Math.max(0, height);
}
