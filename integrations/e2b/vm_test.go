// SPDX-License-Identifier: GPL-2.0-or-later

package e2b

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	weft "weft.example/clients/go"
)

// The integration tests name a weftd (WEFT_SOCKET) and a stand-in for a VM (WEFT_VM), which takes a namespace.
func TestASlotWhoseVMDiedIsReturned(t *testing.T) {
	if os.Getenv("WEFT_SOCKET") == "" || os.Getenv("WEFT_VM") == "" {
		t.Skip("WEFT_SOCKET and WEFT_VM name no weftd and no VM")
	}
	client := weft.New(os.Getenv("WEFT_SOCKET"))
	pool, err := New(background(t), Options{Client: client, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	slots := []Slot{claimOne(t, pool, Egress{}), claimOne(t, pool, Egress{})}
	for _, slot := range slots {
		vm := exec.Command(os.Getenv("WEFT_VM"), slot.NetnsPath)
		if _, err := vm.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		told, err := vm.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := vm.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = vm.Process.Kill()
			_ = vm.Wait()
		}()
		for lines := bufio.NewScanner(told); lines.Scan() && !strings.HasPrefix(lines.Text(), "ready"); {
		}
		if _, err := client.Wait(background(t), slot.ID, weft.StateAttached); err != nil {
			t.Fatal(err)
		}
		if slot.ID == slots[0].ID { // the other lives on, as one that its manager forgot
			_ = vm.Process.Kill()
			if _, err := client.Wait(background(t), slot.ID, weft.StateDetached); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, slot := range slots {
		if err := pool.ReturnAsync(background(t), slot.ID, nil, time.Hour); err != nil {
			t.Error(err)
		}
	}
	closePool(t, pool)
	left, err := client.List(background(t), weft.ListOptions{})
	if err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}
