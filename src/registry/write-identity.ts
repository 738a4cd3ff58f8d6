/** Single and bulk writes of the API: the same rules as an import's, in one transaction a call. */
import { type Connection, type Database, withTransaction } from "../db/pool.ts";
import { RegistryError } from "../errors.ts";
import { applyBatch } from "./apply-batch.ts";
import type { Effect } from "./apply-operation.ts";
import type { Operation } from "./operation.ts";

export interface RegistryHub {
  readonly hubId: number;
  readonly name: string;
}

/**
 * Applies one operation and, in the same transaction, reads what it led to. Throws the RegistryError that the
 * operation met.
 */
export async function writeIdentity<T>(
  database: Database,
  hub: RegistryHub,
  operation: Operation,
  read: (connection: Connection, effect: Effect) => Promise<T>,
): Promise<T> {
  return withTransaction(database, async (connection) => {
    const { outcomes } = await applyBatch(connection, hub, [operation], { assumeNew: false, keepsEdgeScope: false });
    const outcome = outcomes[0]!;
    if (outcome instanceof RegistryError) throw outcome;
    return read(connection, outcome);
  });
}

/** Applies the operations in order; those that fail do not keep the others from being applied. */
export async function writeIdentities(
  database: Database,
  hub: RegistryHub,
  operations: readonly Operation[],
): Promise<readonly (Effect | RegistryError)[]> {
  return withTransaction(database, async (connection) => {
    const { outcomes } = await applyBatch(connection, hub, operations, { assumeNew: true, keepsEdgeScope: true });
    return outcomes;
  });
}
