// SPDX-License-Identifier: GPL-2.0-or-later

// Package weft is the client of weftd, the daemon that gives microVM sandboxes their network.
//
//	client := weft.New("")
//	sandbox, err := client.Register(ctx, "a1", weft.Registration{
//		Ports:     []weft.Port{{GuestPort: 49983}},
//		ReadyPort: 49983,
//	})
//	// start the VM on sandbox.TAP in sandbox.NetnsPath
//	sandbox, err = client.Wait(ctx, "a1", weft.StateReady)
//	...
//	err = client.Unregister(ctx, "a1")
//
// A Client may be used by any number of goroutines. How long a call takes is limited by its context alone.
//
// # Errors
//
// A refusal by weftd is a *Problem, with the members of its application/problem+json. errors.Is compares it with ErrNotFound,
// ErrConflict and the other sentinels. That weftd cannot be reached, or its answer did not come, is an *UnreachableError; a weftd
// of another version of the API a *VersionError.
//
// # Repeated calls
//
// A weftd that is restarted is away for a moment. A call is made again meanwhile, for ten seconds unless WithPatience says
// otherwise, wherever that is safe: if weftd cannot have seen the request, or if the request means the same a second time. Of all
// calls, only a Patch that publishes, unpublishes or resets flows does not. Such a call returns an *UnreachableError with Sent set,
// or a *Problem with RetryAfter; look at the sandbox to see whether it was carried out. What weftd refuses for want of something
// (503 without Retry-After) is for the caller to judge, and is not repeated.
//
// # Events
//
// Client.Events follows all sandboxes or one of them. Its channel goes on over restarts of weftd.
package weft
