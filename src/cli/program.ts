/** The command line: which subcommands there are. Each has a file of its own. */
import { Command, CommanderError } from "commander";
import { ConfigError } from "../config.ts";
import { messageOf } from "../errors.ts";
import { withoutSecrets } from "../log.ts";
import { addHubCommands } from "./hub.ts";
import { addServeCommand } from "./serve.ts";
import { addWorkCommand } from "./work.ts";

/** A usage or configuration error, as most commands have it. */
const EXIT_USAGE = 2;

/** Runs a command line (without node and script) and gives the exit code. Errors are printed, one line where it can be. */
export async function runCli(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const program = new Command("hubferry")
    .description("Self-hosted identity registry and bulk import/export jobs with the Azure IoT Hub service API.")
    .exitOverride()
    .showHelpAfterError("(hubferry --help lists the commands)");
  addServeCommand(program, env);
  addWorkCommand(program, env);
  addHubCommands(program, env);
  try {
    await program.parseAsync(args, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    process.stderr.write(`hubferry: ${withoutSecrets(messageOf(error))}\n`);
    return error instanceof ConfigError ? EXIT_USAGE : 1;
  }
}
