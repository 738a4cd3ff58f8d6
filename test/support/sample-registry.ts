/** Lines of an import file with every kind of identity that an export can hold. */
import { createHash } from "node:crypto";

/** Looks random, is always the same. */
function keyOf(seed: string): string {
  return createHash("sha256").update(seed).digest("base64");
}

/** One of each kind for every number below `count`; 9 lines each, modules behind their device. */
export function sampleLines(count: number): string[] {
  return Array.from({ length: count }, (_, index) => linesOf(index)).flat();
}

function linesOf(index: number): string[] {
  const number = String(index).padStart(4, "0");
  const sas = { type: "sas", symmetricKey: { primaryKey: keyOf(`${index}p`), secondaryKey: keyOf(`${index}s`) } };
  const x509Thumbprint = { primaryThumbprint: "aB".repeat(20), secondaryThumbprint: "0".repeat(40) };
  const edge = `edge-${number}`;
  const scope = `ms-azure-iot-edge://${edge}-637335579276066317`;
  const objects = [
    { id: `sas-${number}`, authentication: sas, tags: { city: "Zürich", nested: { 日本: [1, 2.5, true, "x"] } } },
    { id: `sas-${number}`, moduleId: "b", authentication: sas, properties: { desired: { interval: index } } },
    { id: `sas-${number}`, moduleId: "B", authentication: sas },
    {
      id: `x509-${number}`,
      status: "disabled",
      statusReason: 'Wartung; "später" \\ 🛠',
      authentication: { type: "selfSigned", x509Thumbprint },
    },
    {
      id: `ca-${number}`,
      authentication: { type: "certificateAuthority" },
      properties: { desired: { a: { b: {} } }, reported: { fw: "1.0" } },
    },
    { id: edge, capabilities: { iotEdge: true }, authentication: sas, deviceScope: scope },
    { id: edge, moduleId: "$edgeAgent", authentication: { type: "none" }, properties: { desired: { modules: {} } } },
    { id: `leaf-${number}`, deviceScope: scope, authentication: sas },
    { id: `Z:${number}%+;`, authentication: sas, tags: {} },
  ];
  return objects.map((object) => JSON.stringify({ status: "enabled", importMode: "createOrUpdate", ...object }));
}
