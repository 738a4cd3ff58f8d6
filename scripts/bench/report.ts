/** What the bench prints: a JSON object a line on standard output, and a table where that is a terminal. */

export interface Figure {
  readonly name: string;
  readonly identities: number;
  readonly seconds: number;
  /** To the ceiling, or to what else the name says; null for none. */
  readonly ratio: number | null;
  /** Of the worker process. */
  readonly peakBytes: number | null;
}

const figures: Figure[] = [];

export function printFigure(figure: Figure): void {
  figures.push(figure);
  const { name, identities, seconds, ratio, peakBytes } = figure;
  const line = {
    name: name.trim(),
    identities,
    seconds: round(seconds, 3),
    identitiesPerSecond: Math.round(identities / seconds),
    ratio: ratio === null ? null : round(ratio, 2),
    peakMemoryMiB: peakBytes === null ? null : round(peakBytes / 1024 ** 2, 1),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

export function printTable(): void {
  if (!process.stdout.isTTY) return;
  const rows = figures.map(({ name, identities, seconds, ratio, peakBytes }) => [
    name,
    String(identities),
    seconds.toFixed(2),
    String(Math.round(identities / seconds)),
    ratio === null ? "" : ratio.toFixed(2),
    peakBytes === null ? "" : `${Math.round(peakBytes / 1024 ** 2)} MiB`,
  ]);
  const table = [["", "identities", "seconds", "identities/s", "ratio", "peak memory"], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  for (const row of table)
    process.stdout.write(
      `${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ")}\n`,
    );
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
