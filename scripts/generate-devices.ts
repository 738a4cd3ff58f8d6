/**
 * Writes a realistic devices.txt for benchmarks and demos:
 *
 *     node scripts/generate-devices.ts [count] [seed] > devices.txt
 *
 * The same count and seed give the same bytes on any machine.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Lines that one chunk joins: single lines through a stream cost more than making them. */
const CHUNK_LINES = 500;

/**
 * `identities` createOrUpdate lines, devices and user modules together (the server makes system modules itself), each
 * ended by "\n" and about 480 bytes long. Ids come in random order, a module follows its device, a child its parent.
 * Yields chunks of up to 500 whole lines joined, never more in memory, whatever the count.
 */
export function* generateDevices({ identities, seed }: { identities: number; seed: number }): Generator<string> {
  const fleet = new Fleet(seed);
  for (let written = 0; written < identities; written += CHUNK_LINES) {
    const count = Math.min(CHUNK_LINES, identities - written);
    let chunk = "";
    for (let n = 0; n < count; n += 1) chunk += `${JSON.stringify(fleet.nextLine())}\n`;
    yield chunk;
  }
}

type Line = Record<string, unknown>;

const SITES = ["lyon-sud", "münchen-ost", "são-paulo-3", "東京-品川", "chicago-dock", "kraków-hala"];
const OWNERS = ["Zoë Müller", "José Ñúñez", "François Lefèvre", "Łukasz Wójcik", "山田 太郎", "Anna Berg"];
const REASONS = ["decommissioned", "waiting for a spare part", "Schlüssel verloren", "billing hold"];
const MODELS = ["tx-200", "tx-210e", "hv-9", "mk-4 pro"];
const MODULES = ["telemetry", "vision", "updater"];

class Fleet {
  readonly #random: Random;
  readonly #seedHash: number;
  #devices = 0;
  #deviceId = "";
  #modulesLeft = 0;
  #edgeScope: string | null = null;

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#seedHash = this.#random.uint32();
  }

  nextLine(): Line {
    if (this.#modulesLeft > 0) return this.#moduleLine();
    const line = this.#deviceLine();
    // A device in 40 has two modules: about 5 % of all lines.
    if (this.#random.percent() < 2.5) this.#modulesLeft = 2;
    return line;
  }

  #moduleLine(): Line {
    this.#modulesLeft -= 1;
    return {
      id: this.#deviceId,
      moduleId: MODULES[this.#modulesLeft],
      importMode: "createOrUpdate",
      authentication: this.#sas(),
      properties: this.#properties(),
    };
  }

  #deviceLine(): Line {
    this.#devices += 1;
    this.#deviceId = `${hex(mixed(this.#devices ^ this.#seedHash))}-${String(this.#devices).padStart(7, "0")}`;
    const isEdge = this.#devices % 250 === 1;
    const isDisabled = this.#random.percent() < 10;
    return {
      id: this.#deviceId,
      importMode: "createOrUpdate",
      status: isDisabled ? "disabled" : "enabled",
      ...(isDisabled && { statusReason: this.#random.pick(REASONS) }),
      authentication: this.#authentication(),
      tags: this.#tags(),
      properties: this.#properties(),
      capabilities: { iotEdge: isEdge },
      ...this.#scope(isEdge),
    };
  }

  /** Every 250th device is an edge device; one leaf in 20 is a child of the edge device before it. */
  #scope(isEdge: boolean): Line {
    if (isEdge)
      this.#edgeScope = `ms-azure-iot-edge://${this.#deviceId}-${637_335_579_276_000_000n + BigInt(this.#devices)}`;
    if (isEdge || this.#random.percent() < 5) return { deviceScope: this.#edgeScope };
    return {};
  }

  #authentication(): Line {
    const share = this.#random.percent();
    if (share < 15) return this.#selfSigned();
    if (share < 25) return { type: "certificateAuthority" };
    return this.#sas();
  }

  #sas(): Line {
    const symmetricKey = { primaryKey: this.#random.bytes("base64"), secondaryKey: this.#random.bytes("base64") };
    return { symmetricKey, type: "sas" };
  }

  #selfSigned(): Line {
    const primaryThumbprint = this.#random.bytes("hex").slice(0, 40).toUpperCase();
    const secondaryThumbprint = this.#random.bytes("hex").slice(0, 40).toUpperCase();
    return { x509Thumbprint: { primaryThumbprint, secondaryThumbprint }, type: "selfSigned" };
  }

  #tags(): Line {
    return {
      site: this.#random.pick(SITES),
      floor: this.#random.below(40),
      owner: { name: this.#random.pick(OWNERS) },
    };
  }

  #properties(): Line {
    const model = this.#random.pick(MODELS);
    return {
      desired: { model, telemetry: { interval: 5 * (1 + this.#random.below(60)), enabled: true } },
      reported: {
        firmware: `${1 + this.#random.below(4)}.${this.#random.below(20)}.0`,
        battery: this.#random.below(101) / 100,
      },
    };
  }
}

/** xorshift32: a thing to fill lines with, no more. */
class Random {
  readonly #buffer = Buffer.alloc(32);
  #state: number;

  constructor(seed: number) {
    this.#state = mixed(seed) || 1;
  }

  uint32(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }

  below(bound: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * bound);
  }

  percent(): number {
    return this.below(1_000) / 10;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** 32 bytes as text. */
  bytes(encoding: "base64" | "hex"): string {
    for (let offset = 0; offset < 32; offset += 4) this.#buffer.writeUInt32LE(this.uint32(), offset);
    return this.#buffer.toString(encoding);
  }
}

/** The finalizer of MurmurHash3: spreads a running number over 32 bits without collisions. */
function mixed(value: number): number {
  let bits = value >>> 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, "0");
}

if (import.meta.main) {
  const [count = "10000", seed = "1"] = process.argv.slice(2);
  try {
    await pipeline(Readable.from(generateDevices({ identities: Number(count), seed: Number(seed) })), process.stdout);
  } catch (error) {
    // `| head` has seen enough.
    if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
  }
}
