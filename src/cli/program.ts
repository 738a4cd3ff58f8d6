/** The command line: which subcommands there are. Each has a file of its own. */
import { Command, CommanderError } from "commander";
import { ConfigError } from "../config.ts";
import { messageOf } from "../errors.ts";
import { withoutSecrets } from "../log.ts";
import { addSettings, API_SETTINGS, WORKER_SETTINGS } from "./settings.ts";
import { addHubCommands } from "./hub-commands.ts";

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

// What a command does is loaded only when it is called: a worker without the HTTP server's code takes 25 MB less.

function addServeCommand(program: Command, env: NodeJS.ProcessEnv): void {
  const command = program.command("serve").description("serve the API, with a worker beside it");
  addSettings(command, [...API_SETTINGS, ...WORKER_SETTINGS]);
  command.option("--no-worker", "serve the API alone: other processes run the jobs");
  command.action(async () => {
    const { serve } = await import("./serve.ts");
    await serve(command, env);
  });
}

function addWorkCommand(program: Command, env: NodeJS.ProcessEnv): void {
  const command = program.command("work").description("run jobs, without serving the API");
  addSettings(command, WORKER_SETTINGS);
  command.option("--worker-id <id>", "name of this worker in the rows of its jobs (default: a random one)");
  command.action(async () => {
    const { work } = await import("./work.ts");
    await work(command, env);
  });
}
