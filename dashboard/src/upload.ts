// Sends a file's bytes as they come from the disk, and tells how far it is: `fetch` cannot tell that.

/** What came of it. */
export interface Sent {
  /** 0 when the server was not reached. */
  status: number;
  text: string;
}

/** How it is sent. */
export interface Upload {
  headers: Readonly<Record<string, string>>;
  /** Hears how many bytes have left. */
  tell(bytes: number): void;
  signal: AbortSignal;
}

/** Sends a file by POST. Ends with status 0 where the connection fails or it is stopped. */
export function send(address: string, file: Blob, { headers, tell, signal }: Upload): Promise<Sent> {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => tell(event.loaded);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = () => resolve({ status: 0, text: "" });
    request.onabort = () => resolve({ status: 0, text: "" });
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}
