/** The certificate authority, judged by the TLS stacks that have to trust it: Node's and openssl. */
import { execFileSync, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkServerIdentity, connect } from "node:tls";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  openCertificateAuthority,
  type CertificateAuthority,
  type IssuedCertificate,
} from "../../src/http/certificates.ts";

const DAY_MS = 86_400_000;
const NAMES = ["localhost", "127.0.0.1", "::1", "Hub.Example.com", "2001:db8::5"];
let dir: string;

beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), "hubferry-certificates-"))));
afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true });
});

describe("a certificate that was issued", () => {
  test("is trusted by a TLS client for each of its names", async () => {
    const authority = await openCertificateAuthority(dir);
    await using server = await serve(await authority.issue(NAMES));
    for (const name of NAMES) expect([name, await handshake(server.port, name, authority)]).toEqual([name, "trusted"]);
  });

  test("is refused for another name and by a client that trusts another authority", async () => {
    const authority = await openCertificateAuthority(dir);
    const other = await openCertificateAuthority(join(dir, "other"));
    await using server = await serve(await authority.issue(["localhost", "*.hub.example.com"]));
    expect(await handshake(server.port, "a.hub.example.com", authority)).toBe("trusted");
    for (const name of ["127.0.0.1", "example.com", "hub.example.com"]) {
      expect([name, await handshake(server.port, name, authority)]).toEqual([name, "ERR_TLS_CERT_ALTNAME_INVALID"]);
    }
    expect(await handshake(server.port, "localhost", other)).toBe("SELF_SIGNED_CERT_IN_CHAIN");
  });

  test.runIf(hasOpenssl())("is verified by openssl, strictly and for its purpose", async () => {
    const authority = await openCertificateAuthority(dir);
    writeFileSync(join(dir, "leaf.pem"), (await authority.issue(NAMES)).cert);
    for (const check of [
      ["-verify_ip", "::1"],
      ["-verify_ip", "127.0.0.1"],
      ["-verify_hostname", "hub.example.com"],
    ]) {
      const args = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        ...check,
        "-CAfile",
        authority.caFile,
        join(dir, "leaf.pem"),
      ];
      expect(execFileSync("openssl", args, { encoding: "utf8" })).toContain("OK");
    }
  });

  test("lives 397 days at most, and not longer than its authority", async () => {
    const authority = await openCertificateAuthority(dir);
    const ca = new X509Certificate(readFileSync(authority.caFile));
    const leaf = new X509Certificate((await authority.issue(NAMES)).cert);
    expect((leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / DAY_MS).toBeLessThanOrEqual(397);
    vi.useFakeTimers({ toFake: ["Date"], now: ca.validToDate.getTime() - 10 * DAY_MS });
    const late = new X509Certificate((await (await openCertificateAuthority(dir)).issue(NAMES)).cert);
    expect(late.validToDate).toEqual(ca.validToDate);
    vi.setSystemTime(ca.validToDate.getTime() + 1);
    await expect(openCertificateAuthority(dir)).rejects.toThrow(`delete ${authority.caFile}`);
    await expect(authority.issue(NAMES)).rejects.toThrow("expired");
  });

  test("is not made for what is neither a DNS name nor an IP address; the error lists those", async () => {
    const authority = await openCertificateAuthority(dir);
    const unfit = ["", "a b", "-a.com", "1.2.3.256", "fe80::1%eth0", "a..b", "localhost:8443", "*", "a.*.b", "ü.de"];
    for (const name of unfit)
      await expect(authority.issue(["localhost", name])).rejects.toThrow(`: ${JSON.stringify(name)}`);
    await expect(authority.issue([])).rejects.toThrow("at least one");
  });
});

describe("the authority's files", () => {
  test("hold a 10-year authority, its key readable by the owner alone, and are used again", async () => {
    const first = readFileSync((await openCertificateAuthority(dir)).caFile, "utf8");
    const again = await openCertificateAuthority(dir);
    const ca = new X509Certificate(first);
    expect(readFileSync(again.caFile, "utf8")).toBe(first);
    expect(ca.ca).toBe(true);
    expect((ca.validToDate.getTime() - ca.validFromDate.getTime()) / DAY_MS).toBe(3650);
    expect([modeOf("ca.pem"), modeOf("ca-key.pem")]).toEqual([0o644, 0o600]);
  });

  test("are agreed on by those who make them at the same moment", async () => {
    const module = join(import.meta.dirname, "../../src/http/certificates.ts");
    const script = `
      import { openCertificateAuthority } from ${JSON.stringify(module)};
      import { readFileSync } from "node:fs";
      const authority = await openCertificateAuthority(${JSON.stringify(dir)});
      await authority.issue(["localhost"]);
      process.stdout.write(readFileSync(authority.caFile));`;
    const run = async () => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      return (await child.stdout.toArray()).join("");
    };
    const texts = await Promise.all([run(), run(), run(), run()]);
    expect(new Set(texts)).toEqual(new Set([readFileSync(join(dir, "ca.pem"), "utf8")]));
    expect(readdirSync(dir).toSorted()).toEqual(["ca-key.pem", "ca.pem"]);
  });

  test("that do not belong together are an error that says what to do", async () => {
    const { caFile } = await openCertificateAuthority(dir);
    await openCertificateAuthority(join(dir, "other"));
    writeFileSync(join(dir, "ca-key.pem"), readFileSync(join(dir, "other", "ca-key.pem")));
    await expect(openCertificateAuthority(dir)).rejects.toThrow("is not the key of");
    rmSync(join(dir, "ca-key.pem"));
    await expect(openCertificateAuthority(dir)).rejects.toThrow(`delete ${caFile}`);
    writeFileSync(join(dir, "ca-key.pem"), "nonsense");
    await expect(openCertificateAuthority(dir)).rejects.toThrow("does not hold a private key");
  });

  test("a new certificate is made for the key when only the certificate was deleted", async () => {
    const { caFile } = await openCertificateAuthority(dir);
    const key = new X509Certificate(readFileSync(caFile)).publicKey;
    rmSync(caFile);
    await openCertificateAuthority(dir);
    expect(new X509Certificate(readFileSync(caFile)).publicKey.equals(key)).toBe(true);
  });
});

function modeOf(file: string): number {
  return statSync(join(dir, file)).mode & 0o777;
}

function hasOpenssl(): boolean {
  try {
    execFileSync("openssl", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function serve(certificate: IssuedCertificate): Promise<AsyncDisposable & { port: number }> {
  const server = createServer({ ...certificate }, (_, response) => response.end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => new Promise<void>((resolve) => void server.close(() => resolve()));
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: close };
}

/** Connects as a client that was told to reach `name`: "trusted", or the code of its error. */
function handshake(port: number, name: string, authority: CertificateAuthority): Promise<string> {
  const ca = readFileSync(authority.caFile);
  return new Promise((resolve) => {
    // One address serves every name: the check that Node makes of the name it was asked to reach is made for `name`.
    const socket = connect({
      port,
      host: "127.0.0.1",
      ca,
      checkServerIdentity: (_, peer) => checkServerIdentity(name, peer),
    });
    socket
      .once("secureConnect", () => resolve("trusted"))
      .once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
    socket.once("close", () => resolve("closed"));
    socket.once("secureConnect", () => socket.destroy());
  });
}
