// Settings: preferences, boot media, and what this server is.
import { useLocation } from "wouter";
import { Sections } from "../ui/Sections";
import { MediaSettings } from "./MediaSettings";
import { PageHead } from "./PageHead";
import { PrefSettings } from "./PrefSettings";
import { ServerSettings } from "./ServerSettings";
import "../styles/admin.css";

const SECTIONS = [
  { name: "Preferences", path: "/settings" },
  { name: "Boot media", path: "/settings/media" },
  { name: "Server", path: "/settings/server" },
] as const;

/** The Settings page. */
export function SettingsPage() {
  const [here] = useLocation();
  return (
    <>
      <PageHead title="Settings" />
      <Sections label="Settings" sections={SECTIONS} here={here}>
        {here === "/settings/media" ? <MediaSettings /> : here === "/settings/server" ? <ServerSettings /> : <PrefSettings />}
      </Sections>
    </>
  );
}
