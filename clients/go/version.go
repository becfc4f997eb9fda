// SPDX-License-Identifier: GPL-2.0-or-later

package weft

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// APIVersion is the version of the API that this package was written for.
const APIVersion = "1.1"

// versionHeader has the version of the API in each answer of weftd.
const versionHeader = "Weft-Api-Version"

// A Version is a version of weftd's API. Minor counts up with each release that adds something, Major when something is changed or
// taken away. So a client works with each weftd of its own Major, and finds all that it knows if Minor is not less than its own.
type Version struct {
	Major, Minor int
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// Less says whether v is older than other.
func (v Version) Less(other Version) bool {
	return v.Major < other.Major || v.Major == other.Major && v.Minor < other.Minor
}

// ParseVersion reads MAJOR.MINOR.
func ParseVersion(text string) (Version, error) {
	major, minor, found := strings.Cut(text, ".")
	left, err := strconv.ParseUint(major, 10, 31)
	if err == nil {
		var right uint64
		if right, err = strconv.ParseUint(minor, 10, 31); err == nil && found {
			return Version{int(left), int(right)}, nil
		}
	}
	return Version{}, fmt.Errorf("weft: %q is no version of the API", text)
}

// ours is APIVersion.
var ours = func() Version {
	version, err := ParseVersion(APIVersion)
	if err != nil {
		panic(err)
	}
	return version
}()

// versionOf reads the version that an answer tells. weftd tells it since 1.1.
func versionOf(header http.Header) (Version, error) {
	text := header.Get(versionHeader)
	if text == "" {
		return Version{1, 0}, nil
	}
	return ParseVersion(text)
}

// A VersionError says that weftd's version of the API does not go with this package's.
type VersionError struct {
	Daemon Version // of weftd
	Client Version // of this package
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("weft: weftd has version %v of the API, this client %v", e.Daemon, e.Client)
}

// CheckVersion asks weftd for its version of the API, and returns a *VersionError unless it has all that this package knows. Without
// this check a call fails for its version alone if Major differs. weftd refuses what it does not know, and the Problem then says
// so.
func (c *Client) CheckVersion(ctx context.Context) (Version, error) {
	if err := c.Health(ctx); err != nil {
		return Version{}, err
	}
	version := c.version()
	if version.Major != ours.Major || version.Less(ours) {
		return version, &VersionError{version, ours}
	}
	return version, nil
}
