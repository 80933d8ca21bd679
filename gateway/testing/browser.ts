/**
 * A headless Chromium for tests, driven over its DevTools protocol: a page at the size of a phone,
 * what it asked the network for, what it complained about. Where Chromium comes from:
 * `scripts/services/chromium.ts`.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";

const START_MS = 30_000;
const ANSWER_MS = 20_000;

export type Page = {
  readonly open: (url: string) => Promise<void>;
  /** The value of an expression in the page. */
  readonly read: <T>(expression: string) => Promise<T>;
  /** A PNG of what is seen. */
  readonly picture: () => Promise<Buffer>;
  /** Whether the system asks for dark colours. */
  readonly dark: (isDark: boolean) => Promise<void>;
  /** Every address that the page asked for, and every complaint of the browser about it. */
  readonly requests: readonly string[];
  /** Every address that it said it came from. */
  readonly referers: readonly string[];
  /**
   * Another size from now on; `isPhone` also says whether it has a touch screen and tall pixels.
   */
  readonly resize: (width: number, height: number, isPhone: boolean) => Promise<void>;
  readonly complaints: readonly string[];
};
export type Browser = { readonly page: Page; readonly close: () => Promise<void> };

type Answer = {
  id?: number;
  method?: string;
  params?: any;
  sessionId?: string;
  result?: any;
  error?: { message: string };
};

/** Starts it with one page of `width` x `height` CSS pixels. */
export async function startBrowser(
  file: string,
  width: number,
  height: number,
  options: { readonly hasWebGl?: boolean } = {},
): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), "hexdispatch-browser-"));
  const child = spawn(
    file,
    [
      ...["--headless=new", "--no-sandbox", "--disable-dev-shm-usage"],
      // WebGL by the processor alone, as there is no graphics card; or none at all.
      ...(options.hasWebGl === false
        ? ["--disable-gpu", "--disable-3d-apis"]
        : ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]),
      ...["--no-first-run", "--disable-background-networking", "--disable-component-update"],
      ...["--remote-debugging-port=0", `--user-data-dir=${profile}`, "about:blank"],
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const wire = await Wire.connect(await addressOf(child));
  const { targetId } = await wire.ask("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await wire.ask("Target.attachToTarget", { targetId, flatten: true });
  const ask = (method: string, params: object = {}) => wire.ask(method, params, sessionId);
  const requests: string[] = [];
  const referers: string[] = [];
  const complaints: string[] = [];
  const asked = ({ url, headers }: { url: string; headers: Record<string, string> }): void => {
    requests.push(url);
    const from = headers["Referer"] ?? headers["referer"];
    if (from !== undefined) referers.push(from);
  };
  wire.onEvent = ({ method, params, sessionId: from }) => {
    if (method === "Network.requestWillBeSent") asked(params.request);
    if (method === "Log.entryAdded") complaints.push(params.entry.text);
    if (method === "Runtime.exceptionThrown") complaints.push(params.exceptionDetails.text);
    if (method !== "Target.attachedToTarget" || from === undefined) return;
    // A worker of the page asks for things too; it waits until somebody listens.
    const worker = params.sessionId as string;
    void wire.ask("Network.enable", {}, worker);
    void wire.ask("Runtime.runIfWaitingForDebugger", {}, worker);
  };
  for (const domain of ["Page", "Network", "Log", "Runtime"]) await ask(`${domain}.enable`);
  const watchWorkers = { autoAttach: true, waitForDebuggerOnStart: true, flatten: true };
  await ask("Target.setAutoAttach", watchWorkers);
  const resize = async (wide: number, high: number, isPhone: boolean): Promise<void> => {
    const size = { width: wide, height: high, deviceScaleFactor: isPhone ? 2 : 1, mobile: isPhone };
    await ask("Emulation.setDeviceMetricsOverride", size);
  };
  await resize(width, height, true);
  const page: Page = {
    open: async (url) => void (await ask("Page.navigate", { url })),
    async read(expression) {
      const { result, exceptionDetails } = await ask("Runtime.evaluate", {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      if (exceptionDetails !== undefined) {
        const { text, exception } = exceptionDetails;
        throw new Error(`${text} ${exception?.description ?? ""}`);
      }
      return result.value;
    },
    picture: async () => Buffer.from((await ask("Page.captureScreenshot")).data, "base64"),
    async dark(isDark) {
      const value = isDark ? "dark" : "light";
      const features = [{ name: "prefers-color-scheme", value }];
      await ask("Emulation.setEmulatedMedia", { features });
    },
    ...{ requests, referers, complaints, resize },
  };
  const close = async (): Promise<void> => {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    // In order, so that its helpers end too and leave the folder alone.
    await wire.ask("Browser.close", {}).catch(() => child.kill("SIGKILL"));
    await gone;
    wire.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  return { page, close };
}

/** What it says on its standard error once it listens. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const late = setTimeout(() => reject(new Error(`no browser: ${said}`)), START_MS);
    child.stderr?.on("data", (data: Buffer) => {
      said += data.toString();
      const address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (address === undefined) return;
      clearTimeout(late);
      resolve(address);
    });
    child.once("exit", () => reject(new Error(`the browser ended: ${said}`)));
  });
}

/** Questions and answers by number over the browser's own socket. */
class Wire {
  onEvent: (event: Answer) => void = () => undefined;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      const answer = JSON.parse(data.toString()) as Answer;
      if (answer.id === undefined) return this.onEvent(answer);
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  static async connect(url: string): Promise<Wire> {
    const socket = new WebSocket(url, { perMessageDeflate: false });
    await new Promise((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return new Wire(socket);
  }

  ask(method: string, params: object, sessionId?: string): Promise<any> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method}: no answer`)), ANSWER_MS);
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(late);
        if (error === undefined) resolve(result);
        else reject(new Error(`${method}: ${error.message}`));
      });
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  close(): void {
    this.#socket.terminate();
  }
}
