/** Compares two exports line by line, whatever their size. */

export interface Comparison {
  /** Lines that are equal, from the first one on. */
  readonly lines: number;
  /** Where they part, without what stands there: it may be a key. Null when they do not. */
  readonly difference: string | null;
}

/**
 * Byte by byte but for the values of eTag and twinETag, which an import gives anew (contract 5). The blobs come as
 * chunks of any size, and both are in the order of ids.
 */
export async function compareExports(one: AsyncIterable<Buffer>, other: AsyncIterable<Buffer>): Promise<Comparison> {
  const others = linesOf(other);
  let lines = 0;
  try {
    for await (const line of linesOf(one)) {
      const { value, done } = await others.next();
      if (done === true) return { lines, difference: `the second export ends after ${lines} lines` };
      if (maskEtags(line) !== maskEtags(value)) return { lines, difference: describe(lines + 1, line, value) };
      lines += 1;
    }
    const isLonger = (await others.next()).done !== true;
    return { lines, difference: isLonger ? `the first export ends after ${lines} lines` : null };
  } finally {
    await others.return(undefined);
  }
}

/** As latin1, a character a byte; each with its line feed, which the last one may lack. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + chunk.toString("latin1")).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield `${line}\n`;
  }
  if (rest !== "") yield rest;
  return undefined;
}

/** The first of each name are the identity's own: only ids, status and authentication stand before them. */
function maskEtags(line: string): string {
  return line.replace(/"eTag":"[^"]*"/, '"eTag":"*"').replace(/"twinETag":"[^"]*"/, '"twinETag":"*"');
}

function describe(number: number, one: string, other: string): string {
  const [left, right] = [parseLine(one), parseLine(other)];
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])].filter(
    (name) => !/^(twinE|e)Tag$/.test(name) && JSON.stringify(left[name]) !== JSON.stringify(right[name]),
  );
  return `line ${number} (${idOf(left)}, ${idOf(right)}) differs in ${names.join(", ") || "its text alone"}`;
}

function parseLine(line: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(line, "latin1").toString()) as Record<string, unknown>;
  } catch {
    return { id: "no JSON" };
  }
}

function idOf({ id, moduleId }: Record<string, unknown>): string {
  return [id, moduleId].filter((part) => typeof part === "string").join("/");
}
