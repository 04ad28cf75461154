// Requests for what the WebSocket does not bring, and the token that goes with them.

let token = sessionToken();

/** From the address' fragment, which no server ever sees, else as kept by this tab. */
function sessionToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return read();
  history.replaceState(null, "", location.pathname + location.search);
  keep(given);
  return given;
}

function read() {
  try {
    return sessionStorage.getItem("token") ?? "";
  } catch {
    return "";
  }
}

function keep(value) {
  try {
    sessionStorage.setItem("token", value);
  } catch {
    // Without storage it lasts as long as the page.
  }
}

export const currentToken = () => token;

export function setToken(value) {
  token = value;
  keep(value);
}

/** The JSON that `path` answers; throws an Error with the server's words if it refuses. */
export async function ask(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(parameters).toString();
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(query ? `${path}?${query}` : path, { headers, signal });
  const type = answer.headers.get("content-type") ?? "";
  const body = type.includes("json") ? await answer.json() : { error: await answer.text() };
  if (!answer.ok) throw new Error(body.error ?? body.detail ?? `${answer.status} ${answer.statusText}`);
  return body;
}
