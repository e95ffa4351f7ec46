/** The value below which `part` of the values lie; NaN of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const at = Math.min(sorted.length - 1, Math.floor(part * sorted.length));
  return sorted[at] ?? Number.NaN;
}

/** Of an even number of values the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

export interface GrowthPoint {
  readonly count: number;
  readonly cost: number;
}

/**
 * How cost grows with count, as the exponent of the power that fits best: 1 is a straight line, 2 a
 * square, 0 no growth. The slope of least squares through the logarithms.
 */
export function growthExponent(points: readonly GrowthPoint[]): number {
  const logs = points
    .filter(({ count, cost }) => count > 0 && cost > 0)
    .map(({ count, cost }) => [Math.log(count), Math.log(cost)] as const);
  const mean = (of: 0 | 1): number => logs.reduce((sum, pair) => sum + pair[of], 0) / logs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const [over, under] = logs.reduce(
    ([top, bottom], [x, y]) => [top + (x - meanX) * (y - meanY), bottom + (x - meanX) ** 2],
    [0, 0] as const,
  );
  return over / under;
}
