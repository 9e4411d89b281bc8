// The bar at the top: where one can go, and the menu of whoever is signed in. On narrow screens the
// places are in a menu of their own.
import * as Menu from "@radix-ui/react-dropdown-menu";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "wouter";
import { api } from "./api";
import { isAt, PLACES, type Place } from "./pages";
import { chooseTheme, themeOf, THEME_NAMES, THEMES, useTheme } from "./theme";
import { CheckIcon, Mark, MenuIcon } from "./ui/icons";

/** The bar. */
export function Bar({ name, location }: { name: string; location: string }) {
  return (
    <header className="bar">
      <PlacesMenu location={location} />
      <Link to="/" className="brand">
        <Mark />
        Muster
      </Link>
      <nav aria-label="Main">
        {PLACES.map((place) => (
          <BarPlace key={place.name} place={place} location={location} />
        ))}
      </nav>
      <UserMenu name={name} />
    </header>
  );
}

function BarPlace({ place, location }: { place: Place; location: string }) {
  if ("path" in place) {
    return (
      <Link to={place.path} className="bar-link" {...current(place.path, location)}>
        {place.name}
      </Link>
    );
  }
  const here = place.places.some(({ path }) => isAt(path, location));
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="bar-link bar-group" data-here={here}>
        {place.name}
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu" align="start" sideOffset={6}>
          {place.places.map((each) => (
            <PlaceItem key={each.path} {...each} location={location} />
          ))}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function PlaceItem({ name, path, location }: { name: string; path: string; location: string }) {
  return (
    <Menu.Item className="menu-item" asChild>
      <Link to={path} {...current(path, location)}>
        {name}
      </Link>
    </Menu.Item>
  );
}

function current(path: string, location: string): { "aria-current"?: "page" } {
  return isAt(path, location) ? { "aria-current": "page" } : {};
}

/** Every place in one menu, for screens that have no room for the row of them. */
function PlacesMenu({ location }: { location: string }) {
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="button button-icon bar-menu" aria-label="Menu">
        <MenuIcon />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Content className="menu menu-places" align="start" sideOffset={8} collisionPadding={8}>
          {PLACES.map((place) =>
            "path" in place ? (
              <PlaceItem key={place.name} {...place} location={location} />
            ) : (
              <Menu.Group key={place.name}>
                <Menu.Label className="menu-label">{place.name}</Menu.Label>
                {place.places.map((each) => (
                  <PlaceItem key={each.path} {...each} location={location} />
                ))}
              </Menu.Group>
            ),
          )}
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function UserMenu({ name }: { name: string }) {
  const client = useQueryClient();
  const leave = async () => {
    try {
      await api.logout();
    } finally {
      // Nothing of this operator's stays in memory, even when the server was not reached.
      client.clear();
      window.location.assign("/");
    }
  };
  return (
    <Menu.Root modal={false}>
      <Menu.Trigger className="avatar" aria-label={`Account of ${name}`} data-initials={name.slice(0, 2).toUpperCase()} />
      <Menu.Portal>
        <Menu.Content className="menu" align="end" sideOffset={6}>
          <Menu.Label className="menu-label">Signed in as {name}</Menu.Label>
          <Menu.Item className="menu-item" asChild>
            <Link to="/account">Your account</Link>
          </Menu.Item>
          <Menu.Separator className="menu-line" />
          <ThemeChoice />
          <Menu.Separator className="menu-line" />
          <Menu.Item className="menu-item" onSelect={() => void leave()}>
            Sign out
          </Menu.Item>
        </Menu.Content>
      </Menu.Portal>
    </Menu.Root>
  );
}

function ThemeChoice() {
  const theme = useTheme();
  return (
    <Menu.RadioGroup value={theme} onValueChange={(value) => chooseTheme(themeOf(value))}>
      <Menu.Label className="menu-label">Theme</Menu.Label>
      {THEMES.map((each) => (
        <Menu.RadioItem key={each} className="menu-item" value={each} onSelect={(event) => event.preventDefault()}>
          {THEME_NAMES[each]}
          <Menu.ItemIndicator className="menu-mark">
            <CheckIcon />
          </Menu.ItemIndicator>
        </Menu.RadioItem>
      ))}
    </Menu.RadioGroup>
  );
}
