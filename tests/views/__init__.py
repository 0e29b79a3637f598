"""Views of widgets on a page that stands on nothing but files, in Chromium."""
