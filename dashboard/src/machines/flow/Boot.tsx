// The tab Boot: what this machine would boot from the network now, why, and each file as it is rendered.
import { Link } from "wouter";
import { at } from "../../api";
import { asSentence, explain } from "../../explain";
import { memorySize } from "../../size";
import { CopyButton, Fact, Loading, Problem } from "../../ui/parts";
import type { MachineFull, TabProps } from "../detail/wire";
import { useBoot } from "./api";
import { Setting } from "./Standing";
import type { BootFile, BootPreview } from "./wire";
import "../../styles/flow.css";

/** The tab. */
export function Boot({ machine }: TabProps) {
  const boot = useBoot(machine);
  return (
    <>
      {boot.isPending && <Loading what="Rendering what it boots" />}
      {boot.error !== null && <Problem error={explain(boot.error, "load")} />}
      {boot.data !== undefined && (
        <>
          <What machine={machine} boot={boot.data} />
          <Files boot={boot.data} />
        </>
      )}
    </>
  );
}

function What({ machine, boot }: { machine: MachineFull; boot: BootPreview }) {
  return (
    <section className="card boot-what" aria-labelledby="boot-what">
      <div className="card-head">
        <h2 id="boot-what">
          <Link to={at("bootenvs", boot.BootEnv)}>
            <bdi>{boot.BootEnv}</bdi>
          </Link>
        </h2>
        <span className={`state state-${boot.Available ? "installed" : "failed"}`}>
          {boot.Available ? "Can be booted" : "Cannot be booted"}
        </span>
      </div>
      <p>
        {boot.Reason} {boot.Description}
      </p>
      {boot.Errors.length > 0 && <Problem error={{ text: boot.Errors.map(asSentence).join(" "), retryAfter: null }} />}
      <dl className="facts">
        <Fact name="Kernel">{boot.Kernel === "" ? "None: it goes on to its disk" : <code>{boot.Kernel}</code>}</Fact>
        <Fact name="Initial ramdisk">
          {boot.Initrds.length > 0 &&
            boot.Initrds.map((file) => (
              <code key={file} className="block">
                {file}
              </code>
            ))}
        </Fact>
        <Fact name="First loader">{boot.Loader === "" ? `None: ${boot.NoLoader}.` : <code>{boot.Loader}</code>}</Fact>
        <Fact name="Loads from">
          <code>{boot.From}</code>
        </Fact>
        <Fact name="UEFI HTTP Boot">{boot.HttpImage.Given ? "Gets our image" : `No image: ${boot.HttpImage.Reason}.`}</Fact>
      </dl>
      {machine.Workflow === "" ? (
        <Setting machine={machine} field="BootEnv" kind="bootenvs" label="Boot environment" />
      ) : (
        <p className="hint">While a workflow is set, its stages say what the machine boots.</p>
      )}
    </section>
  );
}

function Files({ boot }: { boot: BootPreview }) {
  return (
    <section className="card" aria-labelledby="boot-files">
      <h2 id="boot-files">Files rendered for this machine</h2>
      <p className="hint">
        As they would be served now. What lets the machine in, a one-time nonce or a token, is added only when the machine
        itself asks, and is never shown here.
      </p>
      {boot.Files.length === 0 && <p>This boot environment and the machine&rsquo;s stage have no files for it.</p>}
      {boot.Files.map((file, index) => (
        <File key={`${file.Path} ${index}`} file={file} />
      ))}
      {boot.FurtherFiles > 0 && <p className="hint">{boot.FurtherFiles} further files are not shown.</p>}
    </section>
  );
}

function File({ file }: { file: BootFile }) {
  if (file.Error !== undefined) {
    return <Problem error={{ text: `${file.Path === "" ? "A file" : file.Path} cannot be rendered: ${file.Error}.`, retryAfter: null }} />;
  }
  if (file.Link !== undefined) {
    return (
      <p className="boot-link">
        <code>{file.Path}</code> is served from <code>{file.Link}</code>
      </p>
    );
  }
  const text = file.Text ?? "";
  const cut = file.Size > new TextEncoder().encode(text).length;
  return (
    <details className="boot-file">
      <summary>
        <code>{file.Path}</code>
        <span className="size">{memorySize(file.Size)}</span>
      </summary>
      <pre className="log-text" tabIndex={0} role="region" aria-label={`File ${file.Path}`}>
        {text}
      </pre>
      {cut && <p className="hint">Only its beginning is shown.</p>}
      <CopyButton text={text} />
    </details>
  );
}
