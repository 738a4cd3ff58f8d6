/**
 * Prints `passed failed skipped` of a run of Vitest, from what its JSON reporter wrote:
 *
 *     node scripts/lib/count-tests.ts report.json <exit code of vitest>
 *
 * A run that broke off without a report, a file without tests because it could not be loaded, and an error outside of
 * all tests each count as one that failed.
 */
import { readFileSync } from "node:fs";

interface Report {
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

const [file = "", exitCode = "1"] = process.argv.slice(2);
const { passed, failed, skipped } = countTests(readReport(file));
const unexplained = exitCode !== "0" && failed === 0 ? 1 : 0;
process.stdout.write(`${passed} ${failed + unexplained} ${skipped}\n`);

function readReport(file: string): Report {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Report;
  } catch {
    return { testResults: [{ status: "failed", assertionResults: [] }] };
  }
}

function countTests({ testResults }: Report): { passed: number; failed: number; skipped: number } {
  const statuses = testResults.flatMap(({ status, assertionResults }) => {
    const own = assertionResults.map((test) => test.status);
    return status === "failed" && !own.includes("failed") ? [...own, "failed"] : own;
  });
  const passed = statuses.filter((status) => status === "passed").length;
  const failed = statuses.filter((status) => status === "failed").length;
  return { passed, failed, skipped: statuses.length - passed - failed };
}
