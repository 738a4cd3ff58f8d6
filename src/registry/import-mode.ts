/** The import modes of ExportImportDevice (contract 5), and what each of them does and checks. */

interface ImportModeRules {
  /** What happens to an identity that is not there: it is created, or the line fails. */
  readonly creates: boolean;
  /** What happens to one that is there. */
  readonly existing: "fail" | "replace" | "delete" | "replaceTwin";
  /** Whether the line's eTag must match the identity's. */
  readonly checksEtag: boolean;
  /** Whether the line's twinETag must match the twin's, when the line has twin data. */
  readonly checksTwinEtag: boolean;
}

const rules = (
  creates: boolean,
  existing: ImportModeRules["existing"],
  checksEtag: boolean,
  checksTwinEtag: boolean,
): ImportModeRules => ({ creates, existing, checksEtag, checksTwinEtag });

export const IMPORT_MODES = {
  create: rules(true, "fail", false, false),
  createOrUpdate: rules(true, "replace", false, true),
  createOrUpdateIfMatchETag: rules(true, "replace", true, true),
  update: rules(false, "replace", false, false),
  updateIfMatchETag: rules(false, "replace", true, true),
  delete: rules(false, "delete", false, false),
  deleteIfMatchETag: rules(false, "delete", true, false),
  updateTwin: rules(false, "replaceTwin", false, false),
  updateTwinIfMatchETag: rules(false, "replaceTwin", false, true),
} as const satisfies Record<string, ImportModeRules>;

export type ImportMode = keyof typeof IMPORT_MODES;

const BY_LOWER_CASE = new Map(Object.keys(IMPORT_MODES).map((mode) => [mode.toLowerCase(), mode as ImportMode]));

/** Reads a mode in any case (the Node SDK sends "Update"); null when there is no such mode. */
export function findImportMode(text: string): ImportMode | null {
  return Object.hasOwn(IMPORT_MODES, text) ? (text as ImportMode) : (BY_LOWER_CASE.get(text.toLowerCase()) ?? null);
}
