// Exits with 0 when node_modules has what package-lock.json says, else with 1. Runs on any Node that npm runs on.
// By content, not by age: a checkout touches the lock file, and an installation writes both files at once.
import { readFileSync } from "node:fs";

process.exitCode = isInstalled() ? 0 : 1;

function isInstalled() {
  const wanted = readPackages("../../package-lock.json");
  const found = readPackages("../../node_modules/.package-lock.json"); // npm writes it last
  if (found === null) return false;
  return Object.entries(wanted).every(([path, one]) => (path in found ? isSame(one, found[path]) : one.optional));
}

function readPackages(file) {
  try {
    const { "": _project, ...packages } = JSON.parse(readFileSync(new URL(file, import.meta.url), "utf8")).packages;
    return packages;
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

function isSame(one, other) {
  return one.version === other.version && one.integrity === other.integrity;
}
