/** Applies operations in their order, as one step of the caller's transaction. */
import { type Connection, sqlStateOf } from "../db/pool.ts";
import { RegistryError } from "../errors.ts";
import { applyOperation, type Effect } from "./apply-operation.ts";
import { GenerationClock } from "./generation-clock.ts";
import { loadStates } from "./load-states.ts";
import type { Operation } from "./operation.ts";
import { writeStates } from "./write-states.ts";

export interface BatchOptions {
  /** Try first as if no identity that an operation may create were there: faster by half where that is true. */
  readonly assumeNew: boolean;
  readonly keepsEdgeScope: boolean;
}

export interface BatchResult {
  /** One for each operation, in order: what it did, or why it failed and did nothing. */
  readonly outcomes: readonly (Effect | RegistryError)[];
  /** Whether the assumption of `assumeNew` was made and held. */
  readonly assumedNew: boolean;
}

const UNIQUE_VIOLATION = "23505";
/** Each further try means that somebody else created one of the batch's identities in between. */
const TRIES_MAX = 10;

/**
 * The result is what applying the operations one by one, each in a transaction of its own, would give. Runs in the
 * transaction of `connection`, which is usable afterwards whatever happens.
 */
export async function applyBatch(
  connection: Connection,
  hub: { hubId: number; name: string },
  operations: readonly Operation[],
  options: BatchOptions,
): Promise<BatchResult> {
  for (let tries = 1; ; tries++) {
    const assumeNew = options.assumeNew && tries === 1;
    await connection.query("savepoint batch");
    try {
      const outcomes = await applyOnce(connection, hub, operations, assumeNew, options.keepsEdgeScope);
      await connection.query("release savepoint batch");
      return { outcomes, assumedNew: assumeNew };
    } catch (error) {
      if (sqlStateOf(error) !== UNIQUE_VIOLATION || tries === TRIES_MAX) throw error;
      await connection.query("rollback to savepoint batch");
    }
  }
}

async function applyOnce(
  connection: Connection,
  hub: { hubId: number; name: string },
  operations: readonly Operation[],
  assumeNew: boolean,
  keepsEdgeScope: boolean,
): Promise<(Effect | RegistryError)[]> {
  const states = await loadStates(connection, hub.hubId, operations, assumeNew);
  const context = { hubName: hub.name, clock: new GenerationClock(), keepsEdgeScope };
  const outcomes = operations.map((operation) => {
    try {
      return applyOperation(states.get(operation.deviceId)!, operation, context);
    } catch (error) {
      if (error instanceof RegistryError) return error;
      throw error;
    }
  });
  await writeStates(connection, hub.hubId, states);
  return outcomes;
}
