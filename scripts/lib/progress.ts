/** What a script shows of work under way: one line that moves on a terminal, a line now and then in a log. */

const BAR_CELLS = 24;
const LOG_INTERVAL_MS = 2_000;

export interface Progress {
  /** `percent` from 0 to 100; `text` is what follows the bar. */
  show(percent: number, text: string): void;
  /** Leaves the line as it is last shown. */
  end(): void;
}

export function openProgress(label: string, output: NodeJS.WriteStream): Progress {
  return isTerminal(output) ? movingLine(label, output) : logLines(label, output);
}

/** A log keeps every carriage return, so it gets none. */
function isTerminal(output: NodeJS.WriteStream): boolean {
  return output.isTTY && process.env["TERM"] !== "dumb" && !process.env["CI"];
}

function movingLine(label: string, output: NodeJS.WriteStream): Progress {
  let shown = false;
  return {
    show: (percent, text) => {
      const line = `${label}  ${bar(percent)} ${String(percent).padStart(3)} %  ${text}`;
      // A line that wraps could not be taken back; \x1b[K clears what a longer one left.
      output.write(`\r${line.slice(0, (output.columns || 80) - 1)}\x1b[K`);
      shown = true;
    },
    end: () => {
      if (shown) output.write("\n");
    },
  };
}

function logLines(label: string, output: NodeJS.WriteStream): Progress {
  let last = "";
  let isWritten = true;
  let nextAt = Date.now() + LOG_INTERVAL_MS;
  const write = () => {
    output.write(`${last}\n`);
    isWritten = true;
    nextAt = Date.now() + LOG_INTERVAL_MS;
  };
  return {
    show: (percent, text) => {
      last = `${label}  ${String(percent).padStart(3)} %  ${text}`;
      isWritten = false;
      if (Date.now() >= nextAt) write();
    },
    end: () => {
      if (!isWritten) write();
    },
  };
}

function bar(percent: number): string {
  const full = Math.round((Math.min(100, Math.max(0, percent)) / 100) * BAR_CELLS);
  return `[${"#".repeat(full)}${"-".repeat(BAR_CELLS - full)}]`;
}
